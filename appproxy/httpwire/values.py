"""
Header values that decide about framing, connection and host: one strict
reading of each, for requests and responses.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import UNTIL_END

_MEMO_VALUES: Final = 1024
_MEMO_VALUE_SIZE: Final = 300

_known_tokens: Final[dict[bytes, frozenset[bytes]]] = {}
_known_hosts: Final[dict[bytes, tuple[bytes, int | None]]] = {}

_ZERO: Final = ord("0")
_LENGTH_DIGITS: Final = 15
"""Nearly a petabyte: more is an attack, and some arithmetic behind us has 53 bits."""

_host: Final = re.compile(
    rb"(?:([0-9A-Za-z_](?:[0-9A-Za-z_-]*[0-9A-Za-z_])?(?:\.[0-9A-Za-z_](?:[0-9A-Za-z_-]*[0-9A-Za-z_])?)*)\.?"
    rb"|(\[[0-9A-Fa-f:.]{2,45}\]))(?::([0-9]{1,5}))?"
).fullmatch
_HOST_SIZE: Final = 253


def connection_tokens(value: bytes) -> frozenset[bytes]:
    """
    The lower-case tokens of a Connection value (RFC 9110, section 7.6.1).
    """
    tokens = _known_tokens.get(value)
    if tokens is None:
        tokens = frozenset([token.strip(b" \t") for token in value.lower().split(b",")]) - {b""}
        if len(value) <= _MEMO_VALUE_SIZE:
            if len(_known_tokens) >= _MEMO_VALUES:
                _known_tokens.clear()
            _known_tokens[value] = tokens
    return tokens


def parse_host(value: bytes) -> tuple[bytes, int | None]:
    """
    Host and port of a Host header or of a target's authority.

    @return: the host in lower case without trailing dot (addresses of IPv6 in
        brackets), and the port if it is given.
    @raise BadMessage: for user info, empty labels, ports out of range, letters
        beyond ASCII, and the like.
    """
    known = _known_hosts.get(value)
    if known is None:
        if len(value) > _MEMO_VALUE_SIZE:
            raise BadMessage(400, "host")
        known = _parse_host(value)
        if len(_known_hosts) >= _MEMO_VALUES:
            _known_hosts.clear()
        _known_hosts[value] = known
    return known


def _parse_host(value: bytes) -> tuple[bytes, int | None]:
    match = _host(value)
    if match is None:
        raise BadMessage(400, "host")
    name, address, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and not 0 < port < 65536:
        raise BadMessage(400, "host")
    host: bytes = (name or address).lower()
    if len(host) > _HOST_SIZE:
        raise BadMessage(400, "host")
    return host, port


def content_length(value: bytes, status: int) -> int:
    """
    The number of a Content-Length: digits only, no leading zeros, no list.

    @param status: of the L{BadMessage} for anything else.
    @raise BadMessage: RFC 9112, section 6.3, rule 5.
    """
    if not value.isdigit() or len(value) > _LENGTH_DIGITS or (value[0] == _ZERO and len(value) > 1):
        raise BadMessage(status, "content_length")
    return int(value)


def chunked_length(value: bytes, minor: int, status: int) -> int:
    """
    The length that a Transfer-Encoding gives: L{UNTIL_END}, if it is
    C{chunked} in HTTP/1.1.

    @param minor: the minor version of the message.
    @param status: of the L{BadMessage} for anything else.
    @raise BadMessage: RFC 9112, sections 6.1 and 6.3.
    """
    if minor == 0 or value.lower() != b"chunked":
        raise BadMessage(status, "transfer_encoding")
    return UNTIL_END


def keeps_alive(tokens: frozenset[bytes], minor: int) -> bool:
    """
    Whether a connection may serve another message (RFC 9112, section 9.3).

    @param tokens: of Connection.
    @param minor: the minor version of the message.
    """
    if b"close" in tokens:
        return False
    return minor == 1 or b"keep-alive" in tokens
