"""
One HTTP exchange with a site, in memory, and a reader for the pages that come back.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPMessage, HTTPResponse
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from appproxy.pages.request import PageRequest

_VOID = {"meta", "link", "img", "input", "br"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def parse_answer(data: bytes, method: str = "GET") -> Answer:
    """The first answer in what a server wrote."""
    while data.startswith(b"HTTP/1.1 100"):
        data = data.partition(b"\r\n\r\n")[2]
    response = HTTPResponse(cast(Any, _Socket(data)), method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def raw_request(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: app.example.com"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class SlowTransport(StringTransport):
    """Pauses its producer after each L{ROOM} bytes, as a socket does."""

    ROOM = 64 * 1024

    def __init__(self) -> None:
        StringTransport.__init__(self)
        self._since = 0

    def write(self, data: bytes) -> None:
        StringTransport.write(self, data)
        self._since += len(data)
        if self._since >= self.ROOM and self.producer is not None and self.streaming:
            self._since = 0
            self.producer.pauseProducing()

    def drain(self) -> None:
        """Read on, until nobody writes any more."""
        written = -1
        while self.producer is not None and written != len(self.value()):
            written = len(self.value())
            self.producer.resumeProducing()


def connect(site: Site) -> tuple[Any, SlowTransport]:
    """A client's connection to a site."""
    site.timeOut = None
    protocol = cast(Any, site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))
    transport = SlowTransport()
    protocol.makeConnection(transport)
    return protocol, transport


def ask_site(
    site: Site,
    target: str,
    *,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    """One request, whose answer is made at once or by a push producer."""
    protocol, transport = connect(site)
    protocol.dataReceived(raw_request(method, target, headers, body))
    transport.drain()
    return parse_answer(transport.value(), method)


def ask(
    resource: Resource,
    target: str,
    *,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    **known: object,
) -> Answer:
    """
    One L{PageRequest} to a resource.

    @param known: what the edge knows of the request, as its attributes.
    """
    site = Site(resource)
    site.requestFactory = cast("type[Request]", _factory(known))
    return ask_site(site, target, method=method, headers=headers, body=body)


def refuses_other_methods(case: SynchronousTestCase, resource: Resource, target: str) -> None:
    """What only reads is not asked for more; the answer is protected like a page."""
    for method in ("POST", "PUT", "OPTIONS", "TRACE", "MKCOL"):
        answer = ask(resource, target, method=method, transaction_id="01AB")
        case.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD"), method)
        case.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"], method)
        case.assertEqual(answer.headers["AppProxy-Transaction-Id"], "01AB", method)
        case.assertNotIn(method, answer.text)


def _factory(known: dict[str, object]) -> Callable[..., PageRequest]:
    def make(*args: Any) -> PageRequest:
        request: PageRequest = cast(Any, PageRequest)(*args)
        for name, value in known.items():
            setattr(request, name, value)
        return request

    return make


@dataclass
class Page(HTMLParser):
    """
    An HTML page, read strictly enough to notice a tag that is not closed.

    @ivar tags: every tag with its attributes, in order.
    """

    markup: bytes
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self.feed(self.markup.decode())
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All words on the page."""
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]

    def links(self) -> list[str]:
        """Every address that the page leads to or loads."""
        return [
            attributes[name]
            for _, attributes in self.tags
            for name in ("href", "src", "action")
            if name in attributes
        ]
