"""
Sample application: shows the request as it arrived here.

C{/} is a page, C{/json} and anything with C{Accept: application/json} is for
scripts.
"""

from __future__ import annotations

import json
from typing import Final

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from appproxy.demo.page import DemoPages

IDENTITY: Final = ("x-remote-user", "x-remote-name", "x-remote-groups", "x-source")
"""The headers that the demo's catalog asks the connector to add."""

_OF_THE_PROXY: Final = ("x-forwarded-", "forwarded", "x-request-id")


def headers_resource(pages: DemoPages) -> Resource:
    """The root of the application."""
    return pages.mount(_Headers(pages))


class _Headers(Resource):
    def __init__(self, pages: DemoPages) -> None:
        Resource.__init__(self)
        self._pages = pages

    def getChild(self, path: bytes, request: Request) -> IResource:
        return self

    def render(self, request: Request) -> bytes:
        """Any method, any path: everything is shown, nothing is done."""
        received = received_headers(request)
        accept = (request.getHeader(b"accept") or b"").lower()
        if request.path == b"/json" or accept.startswith(b"application/json"):
            request.setHeader(b"Content-Type", b"application/json")
            return json.dumps(_plain(request, received), indent=2).encode() + b"\n"
        return self._pages.respond(
            request,
            "headers.html",
            title="Header viewer",
            line=_request_line(request),
            sections=sections(received),
        )


def received_headers(request: Request) -> list[tuple[str, str]]:
    """Every header line, in the order of their names."""
    return [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, values in sorted(request.requestHeaders.getAllRawHeaders())
        for value in values
    ]


def sections(headers: list[tuple[str, str]]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """The headers under what they are for: title, explanation, lines."""
    identity: list[tuple[str, str]] = []
    proxy: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, value in headers:
        lower = name.lower()
        if lower in IDENTITY:
            identity.append((name, value))
        elif lower.startswith(_OF_THE_PROXY):
            proxy.append((name, value))
        else:
            rest.append((name, value))
    return [
        ("Who you are", "Added by the connector. A browser cannot send these itself.", identity),
        ("How you came here", "Written anew by the edge, whatever the browser claimed.", proxy),
        ("What your browser sent", "The proxy's own cookies are not among them.", rest),
    ]


def _request_line(request: Request) -> str:
    return f"{request.method.decode('latin-1')} {request.uri.decode('latin-1')}"


def _plain(request: Request, received: list[tuple[str, str]]) -> dict[str, object]:
    return {
        "method": request.method.decode("latin-1"),
        "target": request.uri.decode("latin-1"),
        "headers": [list(each) for each in received],
    }
