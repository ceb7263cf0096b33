"""
The request head that a backend gets: what came through the tunnel, with the
application's own host and sign-on.
"""

from __future__ import annotations

from typing import Final

from appproxy.connector.served import Served
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, Headers
from appproxy.httpwire.names import NameMemo, plain_name
from appproxy.httpwire.paths import canonical_path
from appproxy.httpwire.writer import write_request

_NEVER_FROM_THE_TUNNEL: Final = frozenset(
    plain_name(name)
    for name in (
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
)
"""Framing and routing belong to this hop; an edge that sends them, however spelt, is broken or stolen."""

_plain_names: Final = NameMemo(plain_name)


class UnfitHead(Exception):
    """The edge sent a head that no edge of ours sends."""


def request_head(
    served: Served,
    method: bytes,
    target: bytes,
    headers: Headers,
    signed_on: Headers,
    body: int,
    upgrade: bool,
) -> tuple[bytes | None, bytes]:
    """
    @param signed_on: what the sign-on mode adds.
    @param body: the body's length on the tunnel.
    @return: the upgrade token that is asked for, and the head's bytes.
    @raise UnfitHead: for headers that do not belong into a tunnel.
    @raise BadMessage: for bytes that no head can carry.
    """
    target = _own_target(served, method, target)
    if served.backend.translate_host_header:
        headers = served.translator.request_headers(headers)
    token: bytes | None = None
    out: Headers = [(b"Host", served.host_header)]
    owned = served.sign_on.owned_headers
    for header in headers:
        name = _plain_names[header[0]]
        if name in _NEVER_FROM_THE_TUNNEL:
            raise UnfitHead(f"a tunnelled request carried {header[0].decode('latin-1')}")
        if name == b"upgrade":
            if token is not None:
                raise UnfitHead("two upgrade headers")
            token = header[1].lower()
        elif name not in owned:
            out.append(header)
    out += signed_on
    if (token is not None) != upgrade:
        raise UnfitHead("an upgrade header without an upgrade, or the reverse")
    if token is not None:
        if method != b"GET" or token.decode("latin-1") not in served.backend.upgrades:
            raise UnfitHead("an upgrade that the application does not allow")
        out += ((b"Connection", b"Upgrade"), (b"Upgrade", token))
    if body == UNTIL_END:
        out.append((b"Transfer-Encoding", b"chunked"))
    elif body != NO_BODY:
        out.append((b"Content-Length", b"%d" % body))
    return token, write_request(method, target, out)


def _own_target(served: Served, method: bytes, target: bytes) -> bytes:
    """
    The backend's target: below the application's own address, whatever an edge asks for.
    """
    if method == b"CONNECT" or not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        raise UnfitHead("a request that is not for the application's own host")
    if served.backend.internal_url.path != "/":
        # Dot segments would climb out of what is published.
        canonical_path(target)
    return served.translator.target(target)
