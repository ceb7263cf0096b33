"""Cookie and Set-Cookie values: L{appproxy.httpwire.cookies} and L{appproxy.translate.set_cookie}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appproxy.httpwire.cookies import divide, for_host_only, own_cookie, sets_own_cookie
from appproxy.httpwire.field import is_value
from appproxy.model.web_address import parse_web_address
from appproxy.translate.set_cookie import SetCookieMap
from tests.fuzz.support import hold, same

_OURS: Final = b"__host-appproxy"
_NAME: Final = b"__Host-appproxy-session"
_HOST: Final = b"wiki.example.com"
_BLANKS: Final = b" \t"

_map: Final = SetCookieMap(
    parse_web_address("http://inside.lan/app/"), parse_web_address("https://wiki.example.com/")
)

WORDS: Final = (
    b"__Host-appproxy-",
    b"; ",
    b"Domain=",
    b"Path=/",
    b"Secure",
    b"=",
    b'"',
    b"inside.lan",
    b"/app",
)


def seeds() -> Iterable[bytes]:
    """Cookies of both kinds in many spellings."""
    yield b"a=b; __Host-appproxy-session=x; c=d"
    yield b"__host-appproxy-session=x"
    yield b'a="x; __HOST-APPPROXY-SIGN-IN=y"; b'
    yield b"__Host-appproxy-session=x;__Host-appproxy-session=y; z"
    yield b" ;; __Host-appproxy-x = 1 ;\t=__Host-appproxy-session=2;"
    yield b"$Version=1; a=b, __Host-appproxy-session=x"
    yield b"sid=1; Domain=.example.com; Path=/app/x; Secure; HttpOnly; SameSite=None"
    yield b"sid=1; domain = inside.lan ; PATH=/; Max-Age=0"
    yield b"=__Host-appproxy-session=x; Domain=lan; Path=/app"


def target(data: bytes) -> None:
    """Bytes as the value of a header, which has no control characters and no outer blanks."""
    data = data.strip(_BLANKS)
    if not is_value(data):
        return
    check_cookie(data)
    check_set_cookie(data)


def check_cookie(cookie: bytes) -> None:
    """Ours are never among the others, and all else is."""
    own, others = divide(cookie)
    hold(_OURS not in others.lower(), "ours among the others", others)
    pairs = parts(cookie)
    same(parts(others), [each for each in pairs if _OURS not in each.lower()], "the others")
    same(parts(own), [each for each in pairs if _OURS in each.lower()], "ours")
    same(others, others.strip(_BLANKS), "outer blanks")
    found = [each for each in pairs if each.startswith(_NAME + b"=")]
    expected = found[0].partition(b"=")[2] if len(found) == 1 else None
    same(own_cookie(cookie, _NAME), expected, "the value of ours")
    same(own_cookie(own, _NAME), expected, "the value of ours, apart")


def parts(cookie: bytes) -> list[bytes]:
    """What stands between semicolons."""
    return [each for part in cookie.split(b";") if (each := part.strip(_BLANKS))]


def check_set_cookie(value: bytes) -> None:
    """None is for more than its host, and whatever could be one of ours is known as such."""
    for each in domains(for_host_only(value, _HOST)):
        hold(each in (b"", _HOST), "a cookie for more than one host", each)
    translated = _map.translate(value)
    hold(is_value(translated), "a line could end in it", translated)
    names = [each.partition(b"=")[0].strip(_BLANKS).lower() for each in attributes(translated)]
    hold(b"secure" in names, "not secure", translated)
    same(translated.partition(b";")[0], value.partition(b";")[0], "another cookie")
    same(sets_own_cookie(translated), sets_own_cookie(value), "ours after translation")
    hold(b"inside.lan" not in domains(translated), "a domain of the inside", translated)


def attributes(value: bytes) -> list[bytes]:
    """As a browser reads them (RFC 6265, section 5.2)."""
    return [each.strip(_BLANKS) for each in value.split(b";")[1:]]


def domains(value: bytes) -> list[bytes]:
    """The domains, lower-case, without a first dot."""
    found = []
    for each in attributes(value):
        name, _, domain = each.partition(b"=")
        if name.strip(_BLANKS).lower() == b"domain":
            found.append(domain.strip(_BLANKS).lower().removeprefix(b"."))
    return found
