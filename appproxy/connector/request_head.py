"""
The request head that a backend gets: what came through the tunnel, with the
application's own host and sign-on.
"""

from __future__ import annotations

from typing import Final

from appproxy.connector.served import Served
from appproxy.httpwire.block import Blocks
from appproxy.httpwire.field import Field, Fields, field
from appproxy.httpwire.heads import NO_BODY, UNTIL_END
from appproxy.httpwire.names import UPGRADE
from appproxy.httpwire.paths import canonical_path
from appproxy.httpwire.rules import request_id_line
from appproxy.httpwire.writer import content_length, join_lines, request_line
from appproxy.translate.translator import is_inward

_CHUNKED: Final = b"Transfer-Encoding: chunked"


class UnfitHead(Exception):
    """The edge sent a head that no edge of ours sends."""


def request_head(
    served: Served,
    method: bytes,
    target: bytes,
    headers: Blocks,
    signed_on: Fields,
    body: int,
    upgrade: bool,
    transaction_id: str = "",
) -> tuple[bytes | None, bytes]:
    """
    @param signed_on: what the sign-on mode adds.
    @param body: the body's length on the tunnel.
    @param transaction_id: letters and digits, which the application is told as the request's id.
    @return: the upgrade token that is asked for, and the head's bytes.
    @raise UnfitHead: for headers that do not belong into a tunnel.
    @raise BadMessage: for bytes that no head can carry.
    """
    lines = [request_line(method, _own_target(served, method, target)), served.host.line]
    token = _pass_on(served, headers, lines)
    if transaction_id:
        lines.append(request_id_line(transaction_id))
    for each in signed_on:
        lines.append(each.line)
    if (token is not None) != upgrade:
        raise UnfitHead("an upgrade header without an upgrade, or the reverse")
    if token is not None:
        if method != b"GET" or token.decode("latin-1") not in served.backend.upgrades:
            raise UnfitHead("an upgrade that the application does not allow")
        lines += (b"Connection: Upgrade", field(b"Upgrade", token).line)
    if body == UNTIL_END:
        lines.append(_CHUNKED)
    elif body != NO_BODY:
        lines.append(content_length(body).line)
    return token, join_lines(lines)


def _pass_on(served: Served, headers: Blocks, lines: list[bytes]) -> bytes | None:
    """
    Add the lines of the headers that the application may see, translated.

    @return: the token of an upgrade.
    """
    owned = served.sign_on.owned_headers
    token: bytes | None = None
    for block in headers:
        if block.fits is owned:
            lines.append(block.wire)
            continue
        before, passed = len(lines), True
        for each in block.fields:
            if each.kind == UPGRADE:
                if token is not None:
                    raise UnfitHead("two upgrade headers")
                token = each.value.lower()
                passed = False
            elif not _passes_as_it_is(served, each, lines):
                passed = False
        if passed and len(lines) > before + 1:
            block.fits = owned
    return token


def _passes_as_it_is(served: Served, each: Field, lines: list[bytes]) -> bool:
    """Add a header's line, if it passes; whether it does so unchanged, whatever else comes."""
    known = each.known
    if not known.in_tunnels:
        raise UnfitHead(f"a tunnelled request carried {each.name.decode('latin-1')}")
    if served.sign_on.owns(known):
        return False
    if is_inward(each.kind):
        lines.append(served.translator.request_header(each).line if served.translates else each.line)
        return False
    lines.append(each.line)
    return True


def _own_target(served: Served, method: bytes, target: bytes) -> bytes:
    """
    The backend's target: below the application's own address, whatever an edge asks for.
    """
    if method == b"CONNECT" or not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        raise UnfitHead("a request that is not for the application's own host")
    if not served.at_root:
        # Dot segments would climb out of what is published.
        canonical_path(target)
    return served.translator.target(target)
