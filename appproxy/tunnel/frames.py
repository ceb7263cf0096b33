"""
Frames: numbers, limits, and bytes to frames and back.

Section 3 of C{docs/tunnel.md}. Pure; knows nothing of streams' states.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from mypy_extensions import i64

from appproxy.tunnel.errors import TunnelError

pack_header: Final = Struct(">BBII").pack
"""C{pack_header(kind, flags, stream, length) -> bytes}"""
HEADER_SIZE: Final = 10

MAX_NUMBER: Final = (1 << 31) - 1
"""The last stream or principal number; see section 5.1 of the specification."""


# The frames of version 1. Plain integers, which compiled code compares at once.
HELLO: Final = 0x01
SETTINGS: Final = 0x02
PING: Final = 0x03
GOAWAY: Final = 0x04
OPEN: Final = 0x10
HEAD: Final = 0x11
DATA: Final = 0x12
TRAILERS: Final = 0x13
END: Final = 0x14
RESET: Final = 0x15
WINDOW: Final = 0x16
UPGRADED: Final = 0x17
TIMES: Final = 0x18
PRINCIPAL: Final = 0x20
FORGET: Final = 0x21
CLIENT_GONE: Final = 0x22
CONFIG: Final = 0x30
APPLIED: Final = 0x31
RENEW: Final = 0x32
PROBE: Final = 0x33

KINDS: Final = (
    HELLO,
    SETTINGS,
    PING,
    GOAWAY,
    OPEN,
    HEAD,
    DATA,
    TRAILERS,
    END,
    RESET,
    WINDOW,
    UPGRADED,
    TIMES,
    PRINCIPAL,
    FORGET,
    CLIENT_GONE,
    CONFIG,
    APPLIED,
    RENEW,
    PROBE,
)

FIN: Final = 0x01
"""On OPEN, HEAD, DATA, TRAILERS: the sender's direction ends with this frame."""
BLOCKED: Final = 0x02
"""On DATA: the sender has more, but no credit."""
ACK: Final = 0x01
"""On PING: this is the answer."""
MORE: Final = 0x01
"""On CONFIG: the next CONFIG frame goes on with this document."""

CRITICAL_FROM: Final = 0x80
"""An unknown kind from here on must be understood: meeting one ends the tunnel."""

MAX_DATA: Final = 64 << 10
"""The largest DATA payload: what one read of a socket brings; more would only delay others."""

MAX_HEAD: Final = 128 << 10
"""OPEN and HEAD: 64 KiB that the HTTP side accepts, and room for what is added to it."""

MAX_CONTROL: Final = 64 << 10
"""Every other frame, known or not: the largest is a principal with a thousand groups."""

TIMES_LIMIT: Final = 64
"""Room for three times, and for most names of connectors."""

SPLIT_ABOVE: Final = 4 << 10
"""A DATA frame up to this size is worth the wait for its rest; a larger one is handed on in parts."""

_LIMITS: Final = [MAX_CONTROL] * 256
_LIMITS[OPEN] = _LIMITS[HEAD] = MAX_HEAD
_LIMITS[DATA] = MAX_DATA
_LIMITS[HELLO] = _LIMITS[SETTINGS] = 16 << 10
_LIMITS[PING] = 64
_LIMITS[TIMES] = TIMES_LIMIT
_LIMITS[END] = _LIMITS[UPGRADED] = 0


_BEGINNINGS: Final = tuple(bytes((kind, flags)) for kind in range(256) for flags in range(4))


def encode(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """
    One frame as bytes.

    @raise ValueError: if the payload is larger than its kind allows.
    """
    if len(payload) > _LIMITS[kind]:
        raise ValueError(f"{len(payload)} bytes are too many for a frame of kind {kind:#x}")
    return pack_header(kind, flags, stream, len(payload)) + payload


def begin_header(kind: int, flags: int) -> bytes:
    """The first half of a header: ready texts, since packing costs more than the rest of a small frame."""
    return _BEGINNINGS[kind << 2 | flags]


def end_header(stream: int, length: int) -> bytes:
    """The second half of a header."""
    return (stream << 32 | length).to_bytes(8, "big")


def limit_of(kind: int) -> int:
    """The largest payload of this kind of frame."""
    return _LIMITS[kind]


class Decoder:
    """
    Bytes in, frames out, for any split of the bytes.

    Holds at most one incomplete frame that is not a large DATA frame.

    @ivar kind: of the frame that L{next} came to; so with C{flags}, C{number} and C{payload}. Of a part
        of a large DATA frame the flags come with the last one only.
    """

    __slots__ = (
        "_data",
        "_flags",
        "_held",
        "_held_size",
        "_left",
        "_need",
        "_number",
        "_offset",
        "flags",
        "kind",
        "number",
        "payload",
    )

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_size = 0
        self._need = 0
        self._data = b""
        self._offset: i64 = 0
        # Of a large DATA frame whose rest is to come.
        self._left: i64 = 0
        self._number: i64 = 0
        self._flags: i64 = 0
        self.kind: i64 = 0
        self.flags: i64 = 0
        self.number: i64 = 0
        self.payload = b""

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return self._held_size

    def feed(self, data: bytes) -> None:
        """Take in bytes; L{next} is to be called until there is no more."""
        if self._held:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size < self._need:
                return
            data = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
        self._data, self._offset = data, 0

    def next(self) -> bool:
        """
        Go to the next frame.

        @return: whether there is one.
        @raise TunnelError: C{frame_size}, as soon as a header says so.
        """
        data = self._data
        offset: i64 = self._offset
        size: i64 = len(data)
        if self._left and offset < size:
            self._take_part(data, offset, size)
            return True
        start: i64 = offset + HEADER_SIZE
        need: i64 = HEADER_SIZE
        if start <= size:
            kind: i64 = data[offset]
            length: i64 = u32_at(data, offset + 6)
            if length > _LIMITS[kind]:
                raise TunnelError("frame_size", f"{length} bytes in a frame of kind {kind:#x}")
            flags: i64 = data[offset + 1]
            number: i64 = u32_at(data, offset + 2)
            end: i64 = start + length
            if end <= size:
                self.kind, self.flags, self.number = kind, flags, number
                self.payload = data[start:end]
                self._offset = end
                return True
            if kind == DATA and length > SPLIT_ABOVE:
                self._left, self._number, self._flags = length, number, flags
                if start < size:
                    self._take_part(data, start, size)
                    return True
                offset = size
            need += length
        if offset < size:
            self._held.append(data[offset:] if offset else data)
            self._held_size = size - offset
            self._need = need
        self._data, self._offset, self.payload = b"", 0, b""
        return False

    def _take_part(self, data: bytes, offset: i64, size: i64) -> None:
        """What there is of a large DATA frame."""
        end: i64 = min(size, offset + self._left)
        self._left -= end - offset
        self.kind, self.number = DATA, self._number
        self.flags = 0 if self._left else self._flags
        self.payload = data if end - offset == size else data[offset:end]
        self._offset = end


def u32_at(data: bytes, offset: i64) -> i64:
    """The 32 bit number there."""
    first: i64 = data[offset]
    second: i64 = data[offset + 1]
    third: i64 = data[offset + 2]
    fourth: i64 = data[offset + 3]
    return first << 24 | second << 16 | third << 8 | fourth
