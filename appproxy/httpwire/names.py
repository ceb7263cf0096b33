"""
Header names: what a token is, which names anybody looks at, and what of each
name may pass from one side to the other.

A browser sends the same dozen spellings with every request, so each is judged
once and then costs one look-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MEMO_SIZE: Final = 2048
"""Names that are remembered; a peer that invents more only makes the memo start anew."""

MEMO_NAME_SIZE: Final = 64
"""Longer names are judged each time, so that the memo stays within some 500 KiB."""

is_token: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
"""Whether all of the bytes are one token (RFC 9110, section 5.6.2)."""

_not_alphanumeric: Final = re.compile(rb"[^a-z0-9]+").sub

# What a name means to whoever reads a head; 0 for all others.
HOST: Final = 1
CONNECTION: Final = 2
COOKIE: Final = 3
SET_COOKIE: Final = 4
AUTHORIZATION: Final = 5
WWW_AUTHENTICATE: Final = 6
USER_AGENT: Final = 7
LOCATION: Final = 8
REFRESH: Final = 9
LINK: Final = 10
REFERENCE: Final = 11
"""Referer and Destination: addresses of the application, as the client knows them."""
ORIGIN: Final = 12
CONTENT_LENGTH: Final = 20
TRANSFER_ENCODING: Final = 21
UPGRADE: Final = 22
EXPECT: Final = 23

FRAMES_FROM: Final = CONTENT_LENGTH
"""Kinds from here on decide where a message ends, or what follows it."""

_KINDS: Final = {
    b"host": HOST,
    b"connection": CONNECTION,
    b"cookie": COOKIE,
    b"set-cookie": SET_COOKIE,
    b"authorization": AUTHORIZATION,
    b"www-authenticate": WWW_AUTHENTICATE,
    b"user-agent": USER_AGENT,
    b"location": LOCATION,
    b"content-location": LOCATION,
    b"refresh": REFRESH,
    b"link": LINK,
    b"referer": REFERENCE,
    b"destination": REFERENCE,
    b"origin": ORIGIN,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
}


def plain_name(name: bytes) -> bytes:
    """
    What all spellings of a name have in common: its letters and digits.

    CGI, WSGI, PHP and some servers see C{X_Forwarded.For} and
    C{x-forwarded-for} as one variable, so one look-alike counts as another.
    """
    return _not_alphanumeric(b"", name.lower())


def _plain_names(*names: bytes) -> frozenset[bytes]:
    return frozenset(map(plain_name, names))


_HOP_BY_HOP: Final = _plain_names(
    b"Connection",
    b"Keep-Alive",
    b"TE",
    b"Trailer",
    b"Trailers",
    b"Transfer-Encoding",
    b"Upgrade",
    b"HTTP2-Settings",
    b"Content-Length",
)
"""Between two neighbours only (RFC 9110, section 7.6.1), or framing, which each side writes itself."""

_REQUEST_ONLY: Final = _plain_names(
    b"Host",
    b"Expect",
    b"Forwarded",
    b"Forwarded-For",
    b"Forwarded-Host",
    b"Forwarded-Proto",
    b"X-Real-IP",
    b"X-Request-Id",
    # What servers and frameworks are commonly told to believe about the client's address.
    b"Client-IP",
    b"X-Client-IP",
    b"True-Client-IP",
    b"X-Cluster-Client-IP",
    b"CF-Connecting-IP",
    b"Fastly-Client-IP",
)
_REQUEST_PREFIXES: Final = (
    b"proxy",
    b"xforward",
    b"appproxy",
    b"xappproxy",
    b"xoriginal",
    b"xrewrite",
)

# Alt-Svc speaks of the connection it came over, which is not the client's.
_RESPONSE_ONLY: Final = _plain_names(b"Set-Cookie2", b"Alt-Svc")
_RESPONSE_PREFIXES: Final = (b"proxy", b"appproxy", b"xappproxy")
_SET_COOKIE: Final = plain_name(b"Set-Cookie")

_NOT_IN_TRAILERS: Final = _plain_names(
    b"Age",
    b"Allow",
    b"Authentication-Info",
    b"Authorization",
    b"Cache-Control",
    b"Clear-Site-Data",
    b"Content-Disposition",
    b"Content-Encoding",
    b"Content-Language",
    b"Content-Location",
    b"Content-Range",
    b"Content-Security-Policy",
    b"Content-Type",
    b"Cookie",
    b"Date",
    b"ETag",
    b"Expires",
    b"If-Match",
    b"If-Modified-Since",
    b"If-None-Match",
    b"If-Range",
    b"If-Unmodified-Since",
    b"Last-Modified",
    b"Link",
    b"Location",
    b"Max-Forwards",
    b"Origin",
    b"Pragma",
    b"Range",
    b"Referer",
    b"Refresh",
    b"Retry-After",
    b"Set-Cookie",
    b"Strict-Transport-Security",
    b"Vary",
    b"Via",
    b"WWW-Authenticate",
)
"""Framing, routing, authentication, cookies, conditions, content format (RFC 9110, section 6.5.1)."""

_TRAILER_PREFIXES: Final = (*_REQUEST_PREFIXES, b"accesscontrol")

_NEVER_IN_TUNNELS: Final = _plain_names(
    b"Host",
    b"Connection",
    b"Content-Length",
    b"Transfer-Encoding",
    b"TE",
    b"Trailer",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"Proxy-Authorization",
    b"HTTP2-Settings",
)
"""Framing and routing belong to one hop: an edge that tunnels them, however spelt, is broken or stolen."""


class Name:
    """
    What is known of one spelling of a name.

    @ivar lower: in lower case.
    @ivar plain: as L{plain_name}.
    @ivar kind: the constant of a name that is looked at, in exactly this spelling but for case; else 0.
    @ivar in_requests: whether it may pass on to an application. Cookies do, but are written anew.
    @ivar in_responses: whether it may pass on to a client.
    @ivar sets_cookie: whether some client takes it for Set-Cookie.
    @ivar in_trailers: whether it may pass as a trailer, in either direction.
    @ivar in_tunnels: whether a tunnelled request may carry it at all.
    """

    __slots__ = (
        "in_requests",
        "in_responses",
        "in_trailers",
        "in_tunnels",
        "kind",
        "lower",
        "plain",
        "sets_cookie",
    )

    def __init__(self, name: bytes) -> None:
        self.lower = name.lower()
        self.plain = plain = plain_name(name)
        self.kind = _KINDS.get(self.lower, 0)
        hop_by_hop, request_only = plain in _HOP_BY_HOP, plain in _REQUEST_ONLY
        self.in_requests = not (
            hop_by_hop or request_only or plain == b"cookie" or plain.startswith(_REQUEST_PREFIXES)
        )
        self.sets_cookie = plain == _SET_COOKIE
        self.in_responses = not (
            hop_by_hop or plain in _RESPONSE_ONLY or plain.startswith(_RESPONSE_PREFIXES)
        )
        self.in_trailers = not (
            hop_by_hop
            or request_only
            or plain in _NOT_IN_TRAILERS
            or plain in _RESPONSE_ONLY
            or plain.startswith(_TRAILER_PREFIXES)
        )
        self.in_tunnels = plain not in _NEVER_IN_TUNNELS


_known: Final[dict[bytes, Name]] = {}


def known_name(name: bytes) -> Name | None:
    """What is known of a name that came before: it is a token then."""
    return _known.get(name)


def name_of(name: bytes) -> Name:
    """
    What is known of a name, as received.

    @param name: a token: the caller has made sure of that.
    """
    known = _known.get(name)
    if known is None:
        known = Name(name)
        if len(name) <= MEMO_NAME_SIZE:
            if len(_known) >= MEMO_SIZE:
                _known.clear()
            _known[name] = known
    return known


def plain_names(names: Iterable[bytes]) -> frozenset[bytes]:
    """Names as L{plain_name} writes them."""
    return frozenset(map(plain_name, names))
