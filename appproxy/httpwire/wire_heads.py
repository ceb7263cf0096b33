r"""
Heads as they cross the tunnel: their lines, apart by a line feed.

A request is C{METHOD target\nName: value\nName: value}, a response
C{status length\nName: value}, trailers C{Name: value\nName: value}. Both
sides refuse what is not plainly a header's line. There is no reason phrase:
the edge writes its own.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.block import Block, BlockReader, Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import MEMO_LINES, Fields, read_lines, remember
from appproxy.httpwire.heads import NO_BODY

_request_line: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([!-~]+)").fullmatch
_response_line: Final = re.compile(rb"([1-5][0-9][0-9]) (-[12]|0|[1-9][0-9]{0,14})").fullmatch

LENGTH_LIMIT: Final = 10**15
"""Lengths have at most fifteen digits."""

# What differs each time stands in these lines: see the parsers.
_requests: Final = BlockReader(b"\n", b"Referer", at_end=True, secret=b"Cookie")
_responses: Final = BlockReader(b"\n", b"Date")

# First lines that were read lately, as those of headers are.
_request_lines: Final[dict[bytes, tuple[bytes, bytes]]] = {}
_response_lines: Final[dict[bytes, tuple[int, int]]] = {}
_ready_lines: Final[dict[tuple[int, int], bytes]] = {}


def pack_request(method: bytes, target: bytes, headers: Blocks) -> bytes:
    """
    Write a request's head.

    @raise BadMessage: for a method or target that is none.
    """
    line = method + b" " + target
    _request_parts(line)
    return _pack(line, headers)


def unpack_request(data: bytes) -> tuple[bytes, bytes, Blocks]:
    """
    Read a request's head.

    @return: method, target and headers.
    @raise BadMessage: for what L{pack_request} does not write.
    """
    line = data.partition(b"\n")[0]
    method, target = _request_parts(line)
    return method, target, _unpack(_requests, data[len(line) :])


def pack_response(status: int, body: int, headers: Blocks) -> bytes:
    """
    Write a response's head.

    @param body: its length, C{UNTIL_END} or C{NO_BODY}.
    @raise BadMessage: for numbers out of range.
    """
    line = _ready_lines.get((status, body))
    if line is None:
        if not 100 <= status <= 599 or not NO_BODY <= body < LENGTH_LIMIT:
            raise BadMessage(502, "status_line")
        line = b"%d %d" % (status, body)
        if len(_ready_lines) >= MEMO_LINES:
            _ready_lines.clear()
        _ready_lines[status, body] = line
    return _pack(line, headers)


def unpack_response(data: bytes) -> tuple[int, int, Blocks]:
    """
    Read a response's head.

    @return: status, body length and headers.
    @raise BadMessage: for what L{pack_response} does not write.
    """
    line = data.partition(b"\n")[0]
    status, body = _response_parts(line)
    return status, body, _unpack(_responses, data[len(line) :])


def pack_trailers(trailers: Fields) -> bytes:
    """
    Write trailers; none give no bytes.
    """
    return b"\n".join([each.line for each in trailers])


def unpack_trailers(data: bytes) -> Fields:
    """
    Read trailers.

    @raise BadMessage: for what L{pack_trailers} does not write.
    """
    if not data:
        return []
    trailers = read_lines(data.split(b"\n"))
    if trailers is None or not Block(trailers).exact:
        raise BadMessage(400, "header")
    return trailers


def _pack(line: bytes, headers: Blocks) -> bytes:
    lines = [line]
    for each in headers:
        lines.append(each.text)
    return b"\n".join(lines)


def _unpack(reader: BlockReader, data: bytes) -> Blocks:
    headers = reader.read(data)
    if headers is None:
        raise BadMessage(400, "header")
    for each in headers:
        # There is one way to write a line: what differs from it, if only by a blank, is none of ours.
        if not each.exact:
            raise BadMessage(400, "header")
    return headers


def _request_parts(line: bytes) -> tuple[bytes, bytes]:
    """Method and target of a first line."""
    parts = _request_lines.get(line)
    if parts is None:
        match = _request_line(line)
        if match is None:
            raise BadMessage(400, "request_line")
        parts = (match[1], match[2])
        remember(_request_lines, line, parts)
    return parts


def _response_parts(line: bytes) -> tuple[int, int]:
    """Status and length of a first line."""
    parts = _response_lines.get(line)
    if parts is None:
        match = _response_line(line)
        if match is None:
            raise BadMessage(502, "status_line")
        parts = (int(match[1]), int(match[2]))
        remember(_response_lines, line, parts)
    return parts
