"""
The chunked transfer coding (RFC 9112, section 7.1), read strictly: no bare
LF, no blanks around sizes, everything that is not payload bounded.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields, read_lines

SIZE_LINE_LIMIT: Final = 1024
"""Bytes of one chunk's size line; extensions in the wild (aws-chunked signatures) have about 90."""

OVERHEAD_LIMIT: Final = 16 * 1024
"""Bytes of framing beyond what chunks of that payload deserve: a sender of empty talk is stopped."""

TRAILER_SIZE: Final = 8 * 1024
"""Bytes of the trailer section."""

TRAILER_COUNT: Final = 32
"""Fields in the trailer section."""

# Thirteen hexadecimal digits are four petabytes. Extensions are names with a token or a quoted string.
_size_line: Final = re.compile(
    rb"([0-9A-Fa-f]{1,13})"
    rb"(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    rb"(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|\"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*\"))?)*"
).fullmatch
_size_line_so_far: Final = re.compile(rb"[0-9A-Fa-f]{1,13}(?:;[\t -~\x80-\xff]*)?").fullmatch
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"host"})

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedDecoder:
    """
    Takes one chunked body apart.

    @ivar trailers: complete when L{feed} says that the body has ended.
    """

    __slots__ = ("_excess", "_left", "_partial", "_state", "_status", "trailers")

    def __init__(self, status: int) -> None:
        """
        @param status: of the L{BadMessage} for a flaw.
        """
        self._status = status
        self._state = _SIZE
        self._left = 0
        self._excess = 0
        self._partial = b""
        self.trailers: Fields = []

    def feed(self, data: bytes, payload: list[bytes]) -> bytes | None:
        """
        Decode some bytes.

        @param payload: pieces of the body are appended here.
        @return: L{None} while the body goes on; at its end the bytes that
            follow it.
        @raise BadMessage: for a flaw; the decoder is of no use afterwards.
        """
        if self._partial:
            data = self._partial + data
            self._partial = b""
        position = 0
        while True:
            if self._state == _DATA:
                piece = data[position : position + self._left]
                if piece:
                    payload.append(piece)
                    position += len(piece)
                    self._left -= len(piece)
                if self._left:
                    return None
                self._state = _DATA_END
            if self._state == _TRAILERS:
                return self._end(data[position:])
            line_end = self._size_line(data, position)
            if line_end < 0:
                self._partial = data[position:]
                return None
            position = line_end

    def _size_line(self, data: bytes, position: int) -> int:
        """The position after the next size line, or -1 if it is not complete."""
        start = position
        if self._state == _DATA_END:
            end_of_data = data[position : position + 2]
            if not b"\r\n".startswith(end_of_data):
                raise BadMessage(self._status, "chunk_end")
            start += 2
        line_end = data.find(b"\r\n", start, start + SIZE_LINE_LIMIT)
        if line_end < 0:
            self._check_partial_line(data[start : start + SIZE_LINE_LIMIT])
            return -1
        match = _size_line(data, start, line_end)
        if match is None:
            raise BadMessage(self._status, "chunk_size")
        self._left = size = int(match[1], 16)
        self._count_overhead(line_end + 2 - position, size)
        self._state = _DATA if size else _TRAILERS
        return line_end + 2

    def _check_partial_line(self, line: bytes) -> None:
        if len(line) >= SIZE_LINE_LIMIT:
            raise BadMessage(self._status, "chunk_overhead")
        if line.endswith(b"\r"):
            line = line[:-1]
        if line and not _size_line_so_far(line):
            raise BadMessage(self._status, "chunk_size")

    def _count_overhead(self, framing: int, size: int) -> None:
        # A plain chunk has at most 17 bytes of framing; small chunks are no attack by themselves.
        self._excess = max(0, self._excess + framing - 17 - 2 * size)
        if self._excess > OVERHEAD_LIMIT:
            raise BadMessage(self._status, "chunk_overhead")

    def _end(self, data: bytes) -> bytes | None:
        if data.startswith(b"\r\n"):
            return data[2:]
        end = data.find(b"\r\n\r\n", 0, TRAILER_SIZE)
        if end < 0:
            if len(data) >= TRAILER_SIZE:
                raise BadMessage(self._status, "trailers_too_large")
            self._partial = data
            return None
        self.trailers = parse_trailers(data[:end], self._status)
        return data[end + 4 :]


def parse_trailers(section: bytes, status: int) -> Fields:
    """
    Read a trailer section without its last, empty line.

    @raise BadMessage: for what is no field, or one that speaks of framing.
    """
    lines = section.split(b"\r\n")
    if len(lines) > TRAILER_COUNT:
        raise BadMessage(status, "trailers_too_large")
    trailers = read_lines(lines)
    if trailers is None or any(each.known.lower in _FRAMING for each in trailers):
        raise BadMessage(status, "trailers")
    return trailers
