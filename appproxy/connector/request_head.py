"""
The request head that a backend gets: what came through the tunnel, with the
application's own host and sign-on.
"""

from __future__ import annotations

from typing import Final

from appproxy.connector.served import Served
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, Headers
from appproxy.httpwire.names import plain_name
from appproxy.httpwire.writer import write_request

_NEVER_FROM_THE_TUNNEL: Final = frozenset(
    {
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"te",
        b"trailer",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"http2-settings",
    }
)
"""Framing and routing belong to this hop; an edge that sends them is broken or stolen."""


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
    if served.backend.translate_host_header:
        headers = served.translator.request_headers(headers)
    token: bytes | None = None
    out: Headers = [(b"Host", served.host_header)]
    owned = served.sign_on.owned_headers
    for name, value in headers:
        lowered = name.lower()
        if lowered in _NEVER_FROM_THE_TUNNEL:
            raise UnfitHead(f"a tunnelled request carried {lowered.decode('latin-1')}")
        if lowered == b"upgrade":
            token = value.lower()
            continue
        if owned and plain_name(name) in owned:
            continue
        out.append((name, value))
    out += signed_on
    if upgrade:
        if token is None or token.decode("latin-1") not in served.backend.upgrades:
            raise UnfitHead("an upgrade that the application does not allow")
        out += ((b"Connection", b"Upgrade"), (b"Upgrade", token))
    elif token is not None:
        raise UnfitHead("an upgrade header without an upgrade")
    if body == UNTIL_END:
        out.append((b"Transfer-Encoding", b"chunked"))
    elif body != NO_BODY:
        out.append((b"Content-Length", b"%d" % body))
    return (token if upgrade else None), write_request(method, served.translator.target(target), out)
