"""
The first message of a TLS connection, read before any TLS object exists
(RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3; RFC 7301, section 3.1).

Pure: bytes in, values out. The bytes stay with the caller, who hands them on
to the TLS layer unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

MAXIMUM_SIZE: Final = 16 * 1024
"""Bytes of the whole message with its record headers: real ones, with post-quantum keys, stay below 3 KiB."""

MAXIMUM_RECORDS: Final = 32
"""Records that one message may span. Real clients use one to four; each read walks them all again."""

_MAXIMUM_RECORD: Final = 1 << 14
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_HOST_NAME: Final = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")


class Peek(Enum):
    """What L{read} answers when there is no L{ClientHello} to give."""

    NeedMore = "need more"
    NotTls = "not tls"


NEED_MORE: Final = Peek.NeedMore
NOT_TLS: Final = Peek.NotTls


@dataclass(frozen=True)
class ClientHello:
    """
    What a client says of itself before anything is encrypted.

    @ivar server_name: lower case, without a trailing dot; L{None} if none was sent.
    @ivar alpn: the protocols offered, in the client's order; empty if none.
    """

    server_name: str | None = None
    alpn: tuple[bytes, ...] = ()


Result: TypeAlias = ClientHello | Literal[Peek.NeedMore, Peek.NotTls]


class _Malformed(Exception):
    """The bytes are not a ClientHello."""


def read(data: bytes) -> Result:
    """
    Read a ClientHello from all bytes received so far.

    @param data: from the first byte of the connection on; may hold more than the message.
    @return: the message, L{NEED_MORE} while it is incomplete, L{NOT_TLS} once it cannot become one.
    """
    try:
        message = _message(data)
        if message is None:
            return NEED_MORE if len(data) < MAXIMUM_SIZE else NOT_TLS
        return _parse(message)
    except _Malformed:
        return NOT_TLS


def _message(data: bytes) -> bytes | None:
    """The body of the handshake message, taken out of its records; L{None} while bytes are missing."""
    collected = bytearray()
    position = 0
    for _ in range(MAXIMUM_RECORDS):
        _check_record_header(data, position)
        end = position + 5 + int.from_bytes(data[position + 3 : position + 5], "big")
        collected += data[position + 5 : min(end, MAXIMUM_SIZE)]
        _check_message_header(collected)
        if len(collected) >= 4 and len(collected) >= (size := 4 + int.from_bytes(collected[1:4], "big")):
            return bytes(collected[4:size])
        if len(data) <= end:
            return None
        position = end
    raise _Malformed


def _check_record_header(data: bytes, position: int) -> None:
    """Refuse as early as the bytes at hand allow."""
    header = data[position : position + 5]
    if header[:1] not in (b"", bytes([_HANDSHAKE])) or header[1:2] not in (b"", b"\x03"):
        raise _Malformed
    if len(header) == 5 and not 0 < int.from_bytes(header[3:], "big") <= _MAXIMUM_RECORD:
        raise _Malformed


def _check_message_header(message: bytearray) -> None:
    if message and message[0] != _CLIENT_HELLO:
        raise _Malformed
    if len(message) >= 4 and int.from_bytes(message[1:4], "big") > MAXIMUM_SIZE:
        raise _Malformed


class _Reader:
    """Takes length-prefixed values off a run of bytes."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int) -> bytes:
        """The next C{size} bytes."""
        end = self._position + size
        if end > len(self._data):
            raise _Malformed
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, size: int) -> int:
        """A big-endian number of C{size} bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, prefix: int) -> bytes:
        """A vector whose length stands in C{prefix} bytes before it (RFC 8446, section 3.4)."""
        return self.take(self.number(prefix))

    @property
    def at_end(self) -> bool:
        """Whether everything was taken."""
        return self._position == len(self._data)


def _parse(message: bytes) -> ClientHello:
    reader = _Reader(message)
    if reader.take(2)[0] != 3:
        raise _Malformed
    reader.take(32)
    session_id, suites, compressions = reader.vector(1), reader.vector(2), reader.vector(1)
    if len(session_id) > 32 or not suites or len(suites) % 2 or not compressions:
        raise _Malformed
    extensions = {} if reader.at_end else _extensions(reader.vector(2))
    if not reader.at_end:
        raise _Malformed
    return ClientHello(_server_name(extensions.get(_SERVER_NAME)), _protocols(extensions.get(_ALPN)))


def _extensions(data: bytes) -> dict[int, bytes]:
    reader = _Reader(data)
    found: dict[int, bytes] = {}
    while not reader.at_end:
        kind = reader.number(2)
        if kind in found:
            raise _Malformed
        found[kind] = reader.vector(2)
    return found


def _server_name(extension: bytes | None) -> str | None:
    if extension is None:
        return None
    names = _Reader(_whole_vector(extension))
    kind, name = names.number(1), names.vector(2).lower()
    if kind != 0 or not names.at_end:
        raise _Malformed
    name = name[:-1] if name.endswith(b".") else name
    if len(name) > 253 or not _HOST_NAME.match(name):
        raise _Malformed
    return name.decode("ascii")


def _protocols(extension: bytes | None) -> tuple[bytes, ...]:
    if extension is None:
        return ()
    reader = _Reader(_whole_vector(extension))
    protocols: list[bytes] = []
    while not reader.at_end:
        protocols.append(reader.vector(1))
    if not protocols or b"" in protocols:
        raise _Malformed
    return tuple(protocols)


def _whole_vector(extension: bytes) -> bytes:
    """The one vector that fills an extension."""
    reader = _Reader(extension)
    vector = reader.vector(2)
    if not reader.at_end:
        raise _Malformed
    return vector
