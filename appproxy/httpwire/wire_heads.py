r"""
Heads as they cross the tunnel: one text, its parts apart by a line feed.

A request is C{METHOD target\nname\nvalue\nname\nvalue}, a response
C{status length\nname\nvalue}, trailers C{name\nvalue}. Since no name and no
value may have a line feed, nothing needs escaping, and both sides refuse
what could be read in another way. There is no reason phrase: the edge writes
its own.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import Headers
from appproxy.httpwire.names import are_known_tokens, check_names

# As numbers: looking for one costs a fifth of looking for a string of one byte.
_CR: Final = 13
_NUL: Final = 0

_request_line: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([!-~]+)").fullmatch
_response_line: Final = re.compile(rb"([1-5][0-9][0-9]) (-[12]|0|[1-9][0-9]{0,14})").fullmatch


def pack_request(method: bytes, target: bytes, headers: Headers) -> bytes:
    """
    Write a request's head.

    @raise BadMessage: for CR, LF or NUL anywhere, or a name that is no token.
    """
    line = method + b" " + target
    if not _request_line(line):
        raise BadMessage(400, "request_line")
    return _pack(line, headers)


def unpack_request(data: bytes) -> tuple[bytes, bytes, Headers]:
    """
    Read a request's head.

    @return: method, target and headers.
    @raise BadMessage: as L{pack_request}.
    """
    line, headers = _unpack(data)
    match = _request_line(line)
    if match is None:
        raise BadMessage(400, "request_line")
    return match[1], match[2], headers


def pack_response(status: int, body: int, headers: Headers) -> bytes:
    """
    Write a response's head.

    @param body: its length, C{UNTIL_END} or C{NO_BODY}.
    @raise BadMessage: for CR, LF or NUL anywhere, a name that is no token, or
        numbers out of range.
    """
    line = b"%d %d" % (status, body)
    if not _response_line(line):
        raise BadMessage(502, "status_line")
    return _pack(line, headers)


def unpack_response(data: bytes) -> tuple[int, int, Headers]:
    """
    Read a response's head.

    @return: status, body length and headers.
    @raise BadMessage: as L{pack_response}.
    """
    line, headers = _unpack(data)
    match = _response_line(line)
    if match is None:
        raise BadMessage(502, "status_line")
    return int(match[1]), int(match[2]), headers


def pack_trailers(trailers: Headers) -> bytes:
    """
    Write trailers; none give no bytes.

    @raise BadMessage: for CR, LF or NUL anywhere, or a name that is no token.
    """
    return _pack(b"", trailers)[1:]


def unpack_trailers(data: bytes) -> Headers:
    """
    Read trailers.

    @raise BadMessage: as L{pack_trailers}.
    """
    return _unpack(b"\n" + data)[1] if data else []


def _pack(line: bytes, headers: Headers) -> bytes:
    names = [name for name, _ in headers]
    if not are_known_tokens(names):
        check_names(names)
    data = b"\n".join([line, *chain.from_iterable(headers)])
    if _CR in data or _NUL in data or data.count(b"\n") != 2 * len(headers):
        raise BadMessage(400, "header_value")
    return data


def _unpack(data: bytes) -> tuple[bytes, Headers]:
    if _CR in data or _NUL in data:
        raise BadMessage(400, "header_value")
    parts = data.split(b"\n")
    if len(parts) % 2 == 0:
        raise BadMessage(400, "header_value")
    names = parts[1::2]
    if not are_known_tokens(names):
        check_names(names)
    return parts[0], list(zip(names, parts[2::2]))  # noqa: B905 (as many, and this is the hot path)
