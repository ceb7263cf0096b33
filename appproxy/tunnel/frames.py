"""
Frames: numbers, limits, and bytes to frames and back.

Section 3 of C{docs/tunnel.md}. Pure; knows nothing of streams' states.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from appproxy.tunnel.errors import TunnelError

_HEADER: Final = Struct(">BBII")
HEADER_SIZE: Final = _HEADER.size
pack_header: Final = _HEADER.pack
"""C{pack_header(kind, flags, stream, length) -> bytes}"""

MAX_NUMBER: Final = (1 << 31) - 1
"""The last stream or principal number; see section 5.1 of the specification."""


class Kind(IntEnum):
    """The frames of version 1. Sessions use the plain integers below."""

    HELLO = 0x01
    SETTINGS = 0x02
    PING = 0x03
    GOAWAY = 0x04
    OPEN = 0x10
    HEAD = 0x11
    DATA = 0x12
    TRAILERS = 0x13
    END = 0x14
    RESET = 0x15
    WINDOW = 0x16
    UPGRADED = 0x17
    PRINCIPAL = 0x20
    FORGET = 0x21
    CLIENT_GONE = 0x22
    CONFIG = 0x30
    APPLIED = 0x31
    RENEW = 0x32
    PROBE = 0x33


# Comparing plain integers costs a third of comparing members of an enumeration.
HELLO: Final = int(Kind.HELLO)
SETTINGS: Final = int(Kind.SETTINGS)
PING: Final = int(Kind.PING)
GOAWAY: Final = int(Kind.GOAWAY)
OPEN: Final = int(Kind.OPEN)
HEAD: Final = int(Kind.HEAD)
DATA: Final = int(Kind.DATA)
TRAILERS: Final = int(Kind.TRAILERS)
END: Final = int(Kind.END)
RESET: Final = int(Kind.RESET)
WINDOW: Final = int(Kind.WINDOW)
UPGRADED: Final = int(Kind.UPGRADED)
PRINCIPAL: Final = int(Kind.PRINCIPAL)
FORGET: Final = int(Kind.FORGET)
CLIENT_GONE: Final = int(Kind.CLIENT_GONE)
CONFIG: Final = int(Kind.CONFIG)
APPLIED: Final = int(Kind.APPLIED)
RENEW: Final = int(Kind.RENEW)
PROBE: Final = int(Kind.PROBE)

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

SPLIT_ABOVE: Final = 4 << 10
"""A DATA frame up to this size is worth the wait for its rest; a larger one is handed on in parts."""

_LIMITS: Final = [MAX_CONTROL] * 256
_LIMITS[OPEN] = _LIMITS[HEAD] = MAX_HEAD
_LIMITS[DATA] = MAX_DATA
_LIMITS[HELLO] = _LIMITS[SETTINGS] = 16 << 10
_LIMITS[PING] = 64
_LIMITS[END] = _LIMITS[UPGRADED] = 0


def encode(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """
    One frame as bytes.

    @raise ValueError: if the payload is larger than its kind allows.
    """
    if len(payload) > _LIMITS[kind]:
        raise ValueError(f"{len(payload)} bytes are too many for a frame of kind {kind:#x}")
    return pack_header(kind, flags, stream, len(payload)) + payload


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
        self._offset = 0
        # Of a large DATA frame whose rest is to come.
        self._left = 0
        self._number = 0
        self._flags = 0
        self.kind = self.flags = self.number = 0
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
        data, offset = self._data, self._offset
        size = len(data)
        if self._left and offset < size:
            self._take_part(data, offset, size)
            return True
        start = offset + HEADER_SIZE
        need = HEADER_SIZE
        if start <= size:
            kind, flags, number, length = _HEADER.unpack_from(data, offset)
            if length > _LIMITS[kind]:
                raise TunnelError("frame_size", f"{length} bytes in a frame of kind {kind:#x}")
            end = start + length
            if end <= size:
                self.kind, self.flags, self.number, self.payload = kind, flags, number, data[start:end]
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

    def _take_part(self, data: bytes, offset: int, size: int) -> None:
        """What there is of a large DATA frame."""
        end = min(size, offset + self._left)
        self._left -= end - offset
        self.kind, self.number = DATA, self._number
        self.flags = 0 if self._left else self._flags
        self.payload = data if end - offset == size else data[offset:end]
        self._offset = end
