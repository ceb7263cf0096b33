"""
Which header may pass from one side to the other. Heads are rebuilt from what
passes; nothing is spliced through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from appproxy.httpwire.cookies import for_host_only, sets_own_cookie, without_own_cookies
from appproxy.httpwire.fields import connection_tokens
from appproxy.httpwire.heads import Headers, RequestHead
from appproxy.httpwire.names import NameMemo, is_token, plain_name

_HOP_BY_HOP: Final = frozenset(
    plain_name(name)
    for name in (
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
)
"""Between two neighbours only (RFC 9110, section 7.6.1), or framing, which each side writes itself."""

_REQUEST_ONLY: Final = frozenset(
    plain_name(name)
    for name in (
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
_RESPONSE_ONLY: Final = frozenset(plain_name(name) for name in (b"Set-Cookie2", b"Alt-Svc"))
_RESPONSE_PREFIXES: Final = (b"proxy", b"appproxy", b"xappproxy")

_NOT_IN_TRAILERS: Final = frozenset(
    plain_name(name)
    for name in (
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
)
"""Framing, routing, authentication, cookies, conditions, content format (RFC 9110, section 6.5.1)."""

_TRAILER_PREFIXES: Final = (*_REQUEST_PREFIXES, b"accesscontrol")

_USUAL_TOKENS: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"})
"""Of Connection: those that name nothing, and those that are dropped in any case."""

_FORWARDED_MEMO: Final = 4096
"""Pairs of client and host whose headers are kept: about 3 MiB."""

_DEFAULT_PORTS: Final = {b"http": 80, b"https": 443}


def forwarded(client_address: str, host: bytes, scheme: bytes, port: int, transaction_id: str) -> Headers:
    """
    What the application is told about the request's way to us: always our own
    reckoning, never what a client said.

    @param client_address: an IP address; anything else counts as unknown.
    @param host: without port.
    @param port: the port that the client used.
    """
    return [*_way(client_address, host, scheme, port), (b"X-Request-Id", transaction_id.encode("ascii"))]


@lru_cache(_FORWARDED_MEMO)
def _way(client_address: str, host: bytes, scheme: bytes, port: int) -> tuple[tuple[bytes, bytes], ...]:
    authority = host if port == _DEFAULT_PORTS.get(scheme) else b"%b:%d" % (host, port)
    client, node = _client(client_address)
    parameters = b"for=%b;host=%b;proto=%b" % (node, _quoted(authority), scheme)
    headers = [
        (b"X-Forwarded-Host", authority),
        (b"X-Forwarded-Proto", scheme),
        (b"X-Forwarded-Port", b"%d" % port),
        (b"Forwarded", parameters),
    ]
    if client:
        headers.insert(0, (b"X-Forwarded-For", client))
    return tuple(headers)


def _client(address: str) -> tuple[bytes, bytes]:
    """An address as it stands in X-Forwarded-For, and as a node of Forwarded (RFC 7239, section 6)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return b"", b"unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    text = ip.compressed.encode("ascii")
    return text, text if ip.version == 4 else b'"[%b]"' % text


def _quoted(value: bytes) -> bytes:
    if is_token(value):
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class RequestRules:
    """
    The rules for requests to one application; made once and kept, for its
    memo of names.
    """

    __slots__ = ("_identity", "_passes")

    forwarded = staticmethod(forwarded)

    def __init__(self, identity_headers: Iterable[bytes] = ()) -> None:
        """
        @param identity_headers: names that the proxy itself sets for the
            application; clients' values are dropped in every spelling.
        """
        self._identity = frozenset(map(plain_name, identity_headers))
        self._passes = NameMemo(self._judge)

    def _judge(self, name: bytes) -> bool:
        plain = plain_name(name)
        return not (
            plain in _HOP_BY_HOP
            or plain in _REQUEST_ONLY
            or plain in self._identity
            or plain == b"cookie"
            or plain.startswith(_REQUEST_PREFIXES)
        )

    def rebuild(self, head: RequestHead) -> Headers:
        """
        The headers of a request that may reach the application, without our
        cookies; all that the proxy adds comes after.
        """
        passes = self._passes
        headers = [header for header in head.headers if passes[header[0]]]
        named = head.connection
        cookie = head.cookie
        if not named <= _USUAL_TOKENS:
            headers = [header for header in headers if header[0].lower() not in named]
            if b"cookie" in named:
                cookie = b""
        if cookie:
            cookie = without_own_cookies(cookie)
            if cookie:
                headers.append((b"Cookie", cookie))
        return headers

    def filter_trailers(self, trailers: Headers) -> Headers:
        """
        The trailers of a request that may reach the application.
        """
        return [trailer for trailer in filter_trailers(trailers) if self._passes[trailer[0]]]


_DROP, _PASS, _SET_COOKIE, _CONNECTION, _LENGTH = range(5)
_LOOK_AT: Final = {b"setcookie": _SET_COOKIE, b"connection": _CONNECTION, b"contentlength": _LENGTH}


def _judge_response(name: bytes) -> int:
    plain = plain_name(name)
    if plain in _LOOK_AT:
        return _LOOK_AT[plain]
    if plain in _HOP_BY_HOP or plain in _RESPONSE_ONLY or plain.startswith(_RESPONSE_PREFIXES):
        return _DROP
    return _PASS


_response_verdicts: Final = NameMemo(_judge_response)


def rebuild_response(headers: Headers, keep_length: bool = False, host: bytes = b"") -> Headers:
    """
    The headers of a response that may reach the client: no hop-by-hop ones,
    no cookie of ours, nothing in our name.

    @param keep_length: let Content-Length pass: for answers to HEAD and 304,
        where it frames nothing.
    @param host: the host that the client asked; given, cookies are for this host alone.
    """
    passed = []
    named: frozenset[bytes] = frozenset()
    for header in headers:
        verdict = _response_verdicts[header[0]]
        if verdict == _PASS:
            passed.append(header)
        elif verdict == _SET_COOKIE:
            if not sets_own_cookie(header[1]):
                passed.append((header[0], for_host_only(header[1], host)) if host else header)
        elif verdict == _CONNECTION:
            named |= connection_tokens(header[1])
        elif verdict == _LENGTH and keep_length and header[0].lower() == b"content-length":
            passed.append(header)
    if not named <= _USUAL_TOKENS:
        passed = [header for header in passed if header[0].lower() not in named]
    return passed


def _judge_trailer(name: bytes) -> bool:
    plain = plain_name(name)
    return not (
        plain in _NOT_IN_TRAILERS
        or plain in _HOP_BY_HOP
        or plain in _REQUEST_ONLY
        or plain in _RESPONSE_ONLY
        or plain.startswith(_TRAILER_PREFIXES)
    )


_trailer_passes: Final = NameMemo(_judge_trailer)


def filter_trailers(trailers: Headers) -> Headers:
    """
    The trailers that may pass, of a request or a response: checksums, grpc's
    status and the like, nothing that decides about framing, routing,
    authentication, cookies or content.
    """
    return [trailer for trailer in trailers if _trailer_passes[trailer[0]]]
