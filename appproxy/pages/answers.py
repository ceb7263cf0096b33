"""
How a page of ours is sent: the headers that protect it, always the same.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from typing import Final

from twisted.web.resource import Resource
from twisted.web.server import Request

from appproxy.model.refusal import Error, Refusal
from appproxy.pages.request import PageRequest, transaction_of

HTML: Final = b"text/html; charset=utf-8"
TEXT: Final = b"text/plain; charset=utf-8"
PROBLEM_JSON: Final = b"application/problem+json"
"""RFC 9457, section 3."""

TRANSACTION_HEADER: Final = b"AppProxy-Transaction-Id"

NEUTRAL_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:18vh auto 0;padding:0 1.5rem}"
    "h1{font-size:1.5rem;font-weight:600}code{overflow-wrap:anywhere}"
)
"""The few rules of the unbranded page, which links to nothing."""

_NEUTRAL_HASH: Final = b64encode(hashlib.sha256(NEUTRAL_STYLE.encode()).digest()).decode()

DEFAULT_FORM_TARGETS: Final = ("https:",)
"""
Where a form of ours may lead. Signing out is posted to us and goes on to the
provider and back by redirects, and browsers hold each of them against
C{form-action} (CSP Level 3, section 6.4.1).
"""


def security_headers(form_targets: Iterable[str] = DEFAULT_FORM_TARGETS) -> list[tuple[bytes, bytes]]:
    """
    The headers of every page made here: no script, no frame, no cache, nothing from elsewhere.

    C{Referrer-Policy} is C{same-origin}: under C{no-referrer} a browser posts
    our own forms with C{Origin: null} (Fetch, section 3.1), which the sign-out
    check would have to refuse.
    """
    targets = " ".join(("'self'", *form_targets))
    policy = (
        f"default-src 'none'; style-src 'self' 'sha256-{_NEUTRAL_HASH}'; img-src 'self'; "
        f"form-action {targets}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return [
        (b"Content-Security-Policy", policy.encode("ascii")),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"X-Frame-Options", b"DENY"),
        (b"Referrer-Policy", b"same-origin"),
        (b"Cross-Origin-Opener-Policy", b"same-origin"),
        (b"Cross-Origin-Resource-Policy", b"same-origin"),
        (b"Cache-Control", b"no-store"),
    ]


def respond(
    request: Request,
    status: int,
    body: bytes,
    content_type: bytes = HTML,
    transaction_id: str = "",
    form_targets: Iterable[str] = DEFAULT_FORM_TARGETS,
) -> bytes:
    """
    Set status and headers of an answer made here.

    @param transaction_id: shown in C{AppProxy-Transaction-Id}; empty leaves it out.
    @return: the body, for a C{render_} method to return.
    """
    request.setResponseCode(status)
    for name, value in security_headers(form_targets):
        request.setHeader(name, value)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    if transaction_id:
        request.setHeader(TRANSACTION_HEADER, transaction_id.encode("ascii"))
    return body


class ReadOnly(Resource):
    """
    A resource with a C{render_GET} and nothing else.

    Any other method gets an answer of ours: Twisted's own has none of the headers that protect a page.
    """

    def render(self, request: Request) -> bytes | int:
        if request.method in (b"GET", b"HEAD"):
            found: bytes | int = Resource.render(self, request)
            return found
        if isinstance(request, PageRequest):
            request.refusal = Refusal(Error.MethodNotAllowed, "method_not_allowed")
        request.setHeader(b"Allow", b"GET, HEAD")
        return respond(request, 405, b"method not allowed\n", TEXT, transaction_of(request))
