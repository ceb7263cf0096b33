"""Heads as they cross a tunnel: L{appproxy.httpwire.wire_heads}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appproxy.httpwire.block import Blocks, blocks_of, fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY
from appproxy.httpwire.wire_heads import (
    LENGTH_LIMIT,
    pack_request,
    pack_response,
    pack_trailers,
    unpack_request,
    unpack_response,
    unpack_trailers,
)
from appproxy.httpwire.writer import join_lines, request_line, write_response
from tests.fuzz.support import HTTP_WORDS, hold, refused, same
from tests.httpwire.test_wire_heads import BAD_LINES

WORDS: Final = HTTP_WORDS


def seeds() -> Iterable[bytes]:
    """Good heads, and those with a bad line."""
    yield b"GET /x?y\nHost: a\nReferer: b\nX-Empty: \nCookie: c=d"
    yield b"POST /\nCookie: a\nHost: b\nCookie: c\nReferer: d\nReferer: e"
    yield b"200 -1\nDate: x\nSet-Cookie: a=b\nDate: y"
    yield b"304 -2"
    yield b"X-Sum: 1\nX-Other: 2"
    for each in BAD_LINES:
        yield b"GET /\nHost: a\n" + each
        yield b"200 5\n" + each


def target(data: bytes) -> None:
    """There is one way to write a head: what can be read is written back alike, and fits into HTTP."""
    request = refused(BadMessage, unpack_request, data)
    if request is not None:
        method, path, blocks = request
        same(pack_request(method, path, blocks), data, "packed again")
        same(unpack_request(data)[:2], (method, path), "read again")
        check_wire(join_lines([request_line(method, path), *(each.wire for each in blocks)]), blocks)
    response = refused(BadMessage, unpack_response, data)
    if response is not None:
        status, body, blocks = response
        same(pack_response(status, body, blocks), data, "packed again")
        hold(100 <= status <= 599 and NO_BODY <= body < LENGTH_LIMIT, "numbers", status, body)
        check_wire(write_response(status, None, blocks), blocks)
    trailers = refused(BadMessage, unpack_trailers, data)
    if trailers is not None:
        same(pack_trailers(trailers), data, "packed again")
        check_fields(blocks_of(trailers))


def check_wire(head: bytes, blocks: Blocks) -> None:
    """In HTTP/1.1 it is just as many lines, and one end."""
    check_fields(blocks)
    lines = head.split(b"\r\n")
    same(lines[1:], [*(each.line for each in fields_of(blocks)), b"", b""], "lines")
    hold(not any(b"\r" in line or b"\n" in line for line in lines), "a line's end inside of one", lines)


def check_fields(blocks: Blocks) -> None:
    """Each could have been made by us."""
    for each in fields_of(blocks):
        same(field(each.name, each.value).line, each.line, "a field that could not be made")
