"""Targets of requests: L{appproxy.httpwire.paths} and L{appproxy.session.return_url}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.paths import canonical_path
from appproxy.session.return_url import RESERVED, RETURN_TARGET_LIMIT, return_target
from tests.fuzz.support import Browser, hold, refused, same

_ORIGIN: Final = "https://wiki.example.com:8443"

WORDS: Final = (
    b"%2e",
    b"%2f",
    b"%5c",
    b"%25",
    b"..",
    b"/.",
    b"//",
    b";",
    b"%00",
    b"%09",
    b"/.appproxy",
    b"\xc3\xa9",
)


def seeds() -> Iterable[bytes]:
    """Paths in many spellings."""
    yield from (b"/", b"*", b"/a/b?c=d", b"/a%20b/%C3%A4", b"/a;x=1/b", b"/a%2Fb//c", b"/.well-known/x")
    yield from (b"/../x", b"/a/%2e%2e/b", b"/a/%252e%252e/b", b"/..;x/b", b"/ ../x", b"/a/..%5cb", b"/a\\b")
    yield from (b"//evil.example", b"/\\evil.example", b"/\t/evil.example", b"/%09/evil", b"/.//evil.example")
    yield from (b"/.appproxy/sign-out", b"/./.appproxy/sign-out", b"/%2eappproxy/ticket?ticket=x", b"/x#y")
    yield from (b"/?a={b}|\\^`", b"/@evil.example", b"/:80", b"/a?b?c/../d")


def target(data: bytes) -> None:
    """Bytes as a request's target."""
    check_path(data)
    check_return(data)


def check_path(raw: bytes) -> None:
    """The path stays what it is when it is written and read again, and climbs in nobody's eyes."""
    path = refused(BadMessage, canonical_path, raw)
    if path is None:
        return
    same(canonical_path(raw), path, "read again")
    text = path.path
    if text == "*":
        return
    hold(text.startswith("/"), "not absolute", text)
    again = canonical_path(quote(text, safe="/").encode())
    same(again.path, text, "written and read again")
    hold(again.ambiguous <= path.ambiguous, "more ambiguous when it is written again", again.ambiguous)
    decoded = text.encode()
    hold(not any(code < 32 or code in (0x5C, 0x7F) for code in decoded), "control character", text)
    for spelling in (decoded, unquote_to_bytes(decoded)):
        for part in spelling.replace(b"\\", b"/").split(b"/"):
            hold(part.partition(b";")[0].strip(b" \t") not in (b".", b".."), "a dot segment", spelling)
    browser = Browser(_ORIGIN, _ORIGIN + raw.partition(b"?")[0].decode("latin-1"))
    same(browser.origin, _ORIGIN, "a browser goes elsewhere")


def check_return(raw: bytes) -> None:
    """Wherever it leads, a browser stays at the host, and comes to no page of ours."""
    back = return_target(raw)
    hold(back.startswith("/") and len(back) <= RETURN_TARGET_LIMIT, "no path", back)
    hold(back.isascii() and back.isprintable() and not set(back) & set(' "<>\\#'), "unsafe", back)
    for reference in (_ORIGIN + back, back):
        browser = Browser(_ORIGIN, reference)
        same(browser.origin, _ORIGIN, "a browser goes elsewhere")
        path = unquote_to_bytes(browser.path).decode("latin-1").lower()
        hold(path != RESERVED and not path.startswith(RESERVED + "/"), "a page of ours", back)
