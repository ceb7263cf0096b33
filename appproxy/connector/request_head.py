"""
The request head that a backend gets: what came through the tunnel, with the
application's own host and sign-on.
"""

from __future__ import annotations

from typing import Final

from appproxy.connector.served import Served
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import Fields, field
from appproxy.httpwire.heads import NO_BODY, UNTIL_END
from appproxy.httpwire.names import UPGRADE
from appproxy.httpwire.paths import canonical_path
from appproxy.httpwire.writer import content_length, write_request

_CHUNKED: Final = field(b"Transfer-Encoding", b"chunked")


class UnfitHead(Exception):
    """The edge sent a head that no edge of ours sends."""


def request_head(
    served: Served,
    method: bytes,
    target: bytes,
    headers: Fields,
    signed_on: Fields,
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
    out: Fields = [served.host]
    owned = served.sign_on.owned_headers
    for each in headers:
        known = each.known
        if not known.in_tunnels:
            raise UnfitHead(f"a tunnelled request carried {each.name.decode('latin-1')}")
        if each.kind == UPGRADE:
            if token is not None:
                raise UnfitHead("two upgrade headers")
            token = each.value.lower()
        elif known.plain not in owned:
            out.append(each)
    out += signed_on
    if (token is not None) != upgrade:
        raise UnfitHead("an upgrade header without an upgrade, or the reverse")
    if token is not None:
        if method != b"GET" or token.decode("latin-1") not in served.backend.upgrades:
            raise UnfitHead("an upgrade that the application does not allow")
        out += (field(b"Connection", b"Upgrade"), field(b"Upgrade", token))
    if body == UNTIL_END:
        out.append(_CHUNKED)
    elif body != NO_BODY:
        out.append(content_length(body))
    return token, write_request(method, target, blocks_of(out))


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
