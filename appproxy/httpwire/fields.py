"""
Header values that decide about framing, connection and host: one strict
reading of each, for requests and responses.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import NO_TOKENS, Headers
from appproxy.httpwire.names import NameMemo

HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
UPGRADE: Final = 5
EXPECT: Final = 6
COOKIE: Final = 7

_KINDS: Final = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"cookie": COOKIE,
}

KINDS: Final[NameMemo[int]] = NameMemo(lambda name: _KINDS.get(name.lower(), 0))
"""From a name to the constant of the field that a parser must look at; 0 for all others."""

_MEMO_VALUES: Final = 1024
_MEMO_VALUE_SIZE: Final = 300

# Fifteen digits are a petabyte: more is an attack, and some arithmetic behind us has 53 bits.
_length: Final = re.compile(rb"0|[1-9][0-9]{0,14}").fullmatch
_host: Final = re.compile(
    rb"(?:([0-9A-Za-z_](?:[0-9A-Za-z_-]*[0-9A-Za-z_])?(?:\.[0-9A-Za-z_](?:[0-9A-Za-z_-]*[0-9A-Za-z_])?)*)\.?"
    rb"|(\[[0-9A-Fa-f:.]{2,45}\]))(?::([0-9]{1,5}))?"
).fullmatch
_HOST_SIZE: Final = 253


def connection_tokens(value: bytes) -> frozenset[bytes]:
    """
    The lower-case tokens of a Connection value (RFC 9110, section 7.6.1).
    """
    if len(value) > _MEMO_VALUE_SIZE:
        return _tokens(value)
    return _known_tokens(value)


def _tokens(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip(b" \t") for token in value.lower().split(b",")) - {b""}


_known_tokens = lru_cache(_MEMO_VALUES)(_tokens)


def parse_host(value: bytes) -> tuple[bytes, int | None]:
    """
    Host and port of a Host header or of a target's authority.

    @return: the host in lower case without trailing dot (addresses of IPv6 in
        brackets), and the port if it is given.
    @raise BadMessage: for user info, empty labels, ports out of range, letters
        beyond ASCII, and the like.
    """
    if len(value) > _MEMO_VALUE_SIZE:
        raise BadMessage(400, "host")
    return _parse_host(value)


@lru_cache(_MEMO_VALUES)
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


def without_outer_blanks(head: bytes, headers: Headers) -> Headers:
    """
    Cut the blanks that llhttp leaves at the end of values.
    """
    if b" \r\n" in head or b"\t\r\n" in head:
        return [(name, value.strip(b" \t")) for name, value in headers]
    return headers


class Framing:
    """
    What a head's framing fields say, gathered one after the other.

    @ivar length: of Content-Length, or L{None}.
    @ivar chunked: whether there is C{Transfer-Encoding: chunked}.
    @ivar tokens: of all Connection headers.
    """

    __slots__ = ("_status", "chunked", "length", "tokens")

    def __init__(self, status: int) -> None:
        """
        @param status: of the L{BadMessage} for a flaw.
        """
        self._status = status
        self.length: int | None = None
        self.chunked = False
        self.tokens = NO_TOKENS

    def take(self, kind: int, value: bytes, minor: int) -> None:
        """
        Note one field; those that are not about framing are passed over.

        @param minor: the minor version of the message.
        @raise BadMessage: if it contradicts what came before, or itself.
        """
        if kind == CONNECTION:
            self.tokens |= connection_tokens(value)
        elif kind == CONTENT_LENGTH:
            self._no_second()
            # Digits only, no leading zeros, no list (RFC 9112, section 6.3, rule 5).
            if not _length(value):
                raise BadMessage(self._status, "content_length")
            self.length = int(value)
        elif kind == TRANSFER_ENCODING:
            self._no_second()
            if minor == 0 or value.lower() != b"chunked":
                raise BadMessage(self._status, "transfer_encoding")
            self.chunked = True

    def _no_second(self) -> None:
        if self.length is not None or self.chunked:
            raise BadMessage(self._status, "more_than_one_framing")

    def keeps_alive(self, minor: int) -> bool:
        """Whether the connection may serve another message (RFC 9112, section 9.3)."""
        if b"close" in self.tokens:
            return False
        return minor == 1 or b"keep-alive" in self.tokens
