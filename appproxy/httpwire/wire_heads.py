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

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields, read_lines

_request_line: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([!-~]+)").fullmatch
_response_line: Final = re.compile(rb"([1-5][0-9][0-9]) (-[12]|0|[1-9][0-9]{0,14})").fullmatch


def pack_request(method: bytes, target: bytes, headers: Fields) -> bytes:
    """
    Write a request's head.

    @raise BadMessage: for a method or target that is none.
    """
    line = method + b" " + target
    if not _request_line(line):
        raise BadMessage(400, "request_line")
    return _pack(line, headers)


def unpack_request(data: bytes) -> tuple[bytes, bytes, Fields]:
    """
    Read a request's head.

    @return: method, target and headers.
    @raise BadMessage: for what L{pack_request} does not write.
    """
    lines = data.split(b"\n")
    match = _request_line(lines[0])
    if match is None:
        raise BadMessage(400, "request_line")
    del lines[0]
    return match[1], match[2], _read(lines)


def pack_response(status: int, body: int, headers: Fields) -> bytes:
    """
    Write a response's head.

    @param body: its length, C{UNTIL_END} or C{NO_BODY}.
    @raise BadMessage: for numbers out of range.
    """
    line = b"%d %d" % (status, body)
    if not _response_line(line):
        raise BadMessage(502, "status_line")
    return _pack(line, headers)


def unpack_response(data: bytes) -> tuple[int, int, Fields]:
    """
    Read a response's head.

    @return: status, body length and headers.
    @raise BadMessage: for what L{pack_response} does not write.
    """
    lines = data.split(b"\n")
    match = _response_line(lines[0])
    if match is None:
        raise BadMessage(502, "status_line")
    del lines[0]
    return int(match[1]), int(match[2]), _read(lines)


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
    return _read(data.split(b"\n")) if data else []


def _pack(line: bytes, headers: Fields) -> bytes:
    lines = [line]
    for each in headers:
        lines.append(each.line)
    return b"\n".join(lines)


def _read(lines: list[bytes]) -> Fields:
    headers = read_lines(lines)
    if headers is None:
        raise BadMessage(400, "header")
    return headers
