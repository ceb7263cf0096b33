"""References that are translated: L{appproxy.translate.urls}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appproxy.httpwire.field import is_value
from appproxy.model.web_address import WebAddress, parse_web_address
from appproxy.translate.urls import UrlMap
from tests.fuzz.support import Browser, hold, same

_INSIDE: Final = ("http://inside.lan:8080/", "http://inside.lan:8080/app/", "https://inside.lan/app/")
_OUTSIDE: Final = ("https://wiki.example.com/", "https://wiki.example.com:8443/wiki/")
_MAPS: Final = [
    (UrlMap(parse_web_address(inside), parse_web_address(outside)), parse_web_address(outside))
    for inside in _INSIDE
    for outside in _OUTSIDE
]

WORDS: Final = (
    b"http:",
    b"https:",
    b"//",
    b"inside.lan",
    b":8080",
    b"/app",
    b"\\",
    b"\t",
    b"@",
    b"..",
    b"?",
    b"#",
)


def seeds() -> Iterable[bytes]:
    """References to the inside and elsewhere."""
    yield from (b"http://inside.lan:8080/app/x?y#z", b"http://INSIDE.lan.:8080", b"//inside.lan:8080/app/")
    yield from (b"/app/x", b"/app", b"/app//evil.example", b"/app/\\evil.example", b"/x", b"x", b"?y", b"#z")
    yield from (b"https://inside.lan/app/x", b"https://inside.lan:443/app", b"http://u@inside.lan:8080/app/")
    yield from (b"https://evil.example/app/", b"//evil.example", b"\\\\evil.example", b"javascript:alert(1)")


def target(data: bytes) -> None:
    """Bytes as a reference in a header's value, which has no control characters and no outer blanks."""
    data = data.strip(b" \t")
    if not is_value(data):
        return
    for urls, address in _MAPS:
        check(urls, address, data)


def check(urls: UrlMap, address: WebAddress, reference: bytes) -> None:
    """What is changed leads to the other address's host, for whoever reads it."""
    mapped = urls.reference(reference)
    hold(is_value(mapped), "a line could end in it", mapped)
    if mapped != reference:
        browser = Browser(address.origin, mapped.decode("latin-1"))
        same(browser.origin, address.origin, f"{reference!r} leads a browser elsewhere")
    origin = urls.origin(reference)
    hold(origin in (reference, address.origin.encode()), "an origin", origin)
