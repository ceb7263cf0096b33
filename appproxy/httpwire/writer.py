"""
Writes heads and bodies of HTTP/1.1: nothing that was received is copied
through, and nothing leaves that could be read as more than one head.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from mypy_extensions import mypyc_attr

from appproxy.httpwire.block import Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Field, Fields, field, remember
from appproxy.httpwire.heads import NO_BODY, UNTIL_END
from appproxy.httpwire.names import name_of

_request_line: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.1").fullmatch

# Those that were checked lately.
_request_lines: Final[dict[bytes, bool]] = {}

_reason: Final = re.compile(rb"[\t -~\x80-\xff]*").fullmatch

_STATUS_LINES: Final[dict[int, bytes]] = {
    status.value: b"HTTP/1.1 %d %s" % (status.value, status.phrase.encode()) for status in HTTPStatus
}

_CHUNKED: Final[Fields] = [field(b"Transfer-Encoding", b"chunked")]
_CLOSE: Final[Fields] = [field(b"Connection", b"close")]
_LENGTH: Final = name_of(b"Content-Length")
_NOTHING: Final[Fields] = []
# Joined to the lines before it, it ends the last of them, and the head.
_LAST_LINE: Final = b"\r\n"


def request_line(method: bytes, target: bytes) -> bytes:
    """
    A request's first line in HTTP/1.1.

    @raise BadMessage: for a method that is no token, or a target with blanks or the like.
    """
    line = method + b" " + target + b" HTTP/1.1"
    if line not in _request_lines:
        if not _request_line(line):
            raise BadMessage(400, "request_line")
        remember(_request_lines, line, True)
    return line


def write_response(
    status: int, reason: bytes | None, headers: Blocks, framing: Fields | None = None
) -> bytes:
    """
    The bytes of a response's head in HTTP/1.1 (a server's own version, also
    towards clients of 1.0: RFC 9110, section 2.5).

    @param reason: the phrase; L{None} for the usual one.
    @param framing: headers that follow those.
    @raise BadMessage: for a status or a reason that cannot stand in a line.
    """
    line = _STATUS_LINES.get(status) if reason is None else None
    if line is None:
        if not 100 <= status <= 599 or not _reason(reason or b""):
            raise BadMessage(502, "status_line")
        line = b"HTTP/1.1 %d %s" % (status, reason or b"")
    return _write(line, headers, framing)


def _write(line: bytes, headers: Blocks, more: Fields | None) -> bytes:
    lines = [line]
    for block in headers:
        lines.append(block.wire)
    if more is not None:
        for each in more:
            lines.append(each.line)
    return join_lines(lines)


def join_lines(lines: list[bytes]) -> bytes:
    """
    A head's bytes.

    @param lines: without their ends; used up.
    """
    lines.append(_LAST_LINE)
    return b"\r\n".join(lines)


def content_length(size: int) -> Field:
    """A Content-Length."""
    return Field(b"Content-Length", b"%d" % size, _LENGTH)


@mypyc_attr(acyclic=True)
class Framer:
    """
    Frames one body for a peer, and holds the sender to its word.

    @ivar headers: the framing headers to put into the head; not to be changed.
    @ivar closes: whether the body ends with the connection, so that the
        connection must be closed after L{end}.
    """

    __slots__ = ("_body", "_chunked", "_left", "closes", "headers")

    def __init__(self, body: int, http_version: tuple[int, int] = (1, 1)) -> None:
        """
        @param body: its length, C{UNTIL_END} or C{NO_BODY}.
        @param http_version: of the peer that reads it.
        """
        self._body = body
        self._left = max(body, 0)
        self._chunked = body == UNTIL_END and http_version[1] > 0
        self.closes = body == UNTIL_END and not self._chunked
        if body >= 0:
            self.headers: Fields = [content_length(body)]
        elif body == NO_BODY:
            self.headers = _NOTHING
        else:
            self.headers = _CHUNKED if self._chunked else _CLOSE

    def data(self, data: bytes) -> bytes:
        """
        Frame a piece of the body.

        @raise BadMessage: if it is more than the head announced.
        """
        if self._body == UNTIL_END:
            # An empty chunk would end the body.
            return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data
        self._left -= len(data)
        if self._left < 0:
            raise BadMessage(502, "body_too_long")
        return data

    def end(self, trailers: Fields = _NOTHING) -> bytes:
        """
        Frame the end of the body.

        @param trailers: filtered ones; only a chunked body can carry them.
        @raise BadMessage: if there was less than the head announced.
        """
        if self._left:
            raise BadMessage(502, "body_too_short")
        if not self._chunked:
            return b""
        return _write(b"0", [], trailers) if trailers else b"0\r\n\r\n"
