"""Answers of an application: L{appproxy.httpwire.response_parser}, and what is written of them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zlib import crc32

import httptools

from appproxy.httpwire.block import fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, End, ResponseHead
from appproxy.httpwire.llhttp import judge_head
from appproxy.httpwire.response_parser import ResponseEvent, ResponseParser
from appproxy.httpwire.rules import rebuild_response
from appproxy.httpwire.wire_heads import pack_response, unpack_response
from appproxy.httpwire.writer import write_response
from tests.corpus.cases import ANSWERS
from tests.fuzz.support import HTTP_WORDS, hold, refused, same, splits
from tests.httpwire.support import joined

_SEED_SIZE: Final = 2048
_HEAD_END: Final = b"\r\n\r\n"
_OURS: Final = b"__host-appproxy"
_HOP_BY_HOP: Final = frozenset({b"connection", b"transfer-encoding", b"content-length", b"upgrade"})

Asked = tuple[bytes, bytes | None]
"""The request's method, and the upgrade that it asked for."""

ASKED: Final[tuple[Asked, ...]] = ((b"GET", None), (b"HEAD", None), (b"GET", b"websocket"))

Reading = tuple[list[ResponseEvent], str, bool]
"""The events that came, how it ended, and whether the connection can be used again."""

_OK: Final = b"HTTP/1.1 200 OK\r\n"

WORDS: Final = HTTP_WORDS


def seeds() -> Iterable[bytes]:
    """The corpus of answers, and a good answer of every kind."""
    yield from (case.data for case in ANSWERS if len(case.data) <= _SEED_SIZE)
    yield _OK + b"Date: x\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
    yield _OK + b'Transfer-Encoding: chunked\r\nX: y\r\n\r\n3;a="b"\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n'
    yield (
        _OK + b"Set-Cookie: __Host-appproxy-session=x\r\nSet-Cookie: a=b; Domain=example.com; Path=/\r\n\r\n"
    )
    yield b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\nHTTP/1.1 204 No\r\nConnection: close, X\r\nX: y\r\n\r\n"
    yield b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nraw"
    yield b"HTTP/1.0 304\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"


def target(data: bytes) -> None:
    """An answer to each kind of request, in whole and in pieces."""
    in_pieces = ASKED[crc32(data) % len(ASKED)]
    for asked in ASKED:
        events, end, reusable = read(asked, [data])
        for pieces in splits(data) if asked == in_pieces else ():
            again = read(asked, pieces)
            same(again[1], end, "another split, another verdict")
            if end == "well":
                same(again[::2], (events, reusable), "another split, other events")
        for head in events:
            if isinstance(head, ResponseHead):
                check_head(head, asked)
        raw = data[: data.find(_HEAD_END) + 4]
        first = refused(BadMessage, ResponseParser(*asked).feed, raw)
        if first and isinstance(first[0], ResponseHead):
            judged = refused(BadMessage, judge_head, httptools.HttpResponseParser, raw, 502)
            hold(judged is not None, "only llhttp refuses it", raw)
            same([each.pair for each in first[0].headers], judged, "llhttp reads other headers")


def read(asked: Asked, pieces: list[bytes]) -> Reading:
    """One exchange up to the end of the connection."""
    parser = ResponseParser(*asked)
    events: list[ResponseEvent] = []
    try:
        for piece in pieces:
            events += parser.feed(piece)
        reusable = parser.reusable
        events += parser.eof(clean=True)
    except BadMessage as refusal:
        same(refusal.status, 502, "an application's fault has another status")
        same(parser.feed(_OK + b"\r\n"), [], "events after a refusal")
        hold(not parser.reusable, "used again after a refusal")
        return joined(events), refusal.rule if refusal.rule.startswith("closed") else "refused", False
    hold(not parser.reusable, "used again after its end")
    same(sum(isinstance(each, End) for each in events), 1, "not just one end")
    hold(not reusable or isinstance(events[-1], End), "used again before the end")
    return joined(events), "well", reusable


def check_head(head: ResponseHead, asked: Asked) -> None:
    """What every accepted head promises."""
    names = [each.known.lower for each in head.headers]
    framing = names.count(b"content-length") + names.count(b"transfer-encoding")
    hold(framing <= 1, "framed more than once", names)
    hold(100 <= head.status <= 599, "status", head.status)
    hold(head.status != 101 or asked[1] is not None, "an upgrade that nobody asked for")
    if head.status < 200 or head.status in (204, 304) or asked[0] == b"HEAD":
        same(head.body, NO_BODY, "a body where none may be")
    hold(head.body != UNTIL_END or not head.keep_alive or b"transfer-encoding" in names, "endless", head)
    for each in head.headers:
        same(field(each.name, each.value).line, each.line, "a field that could not be made")
    check_written(head, asked)
    unpacked = unpack_response(pack_response(head.status, head.body, head.blocks))
    same((*unpacked[:2], fields_of(unpacked[2])), (head.status, head.body, head.headers), "through a tunnel")
    for each in fields_of(rebuild_response(head.blocks, host=b"a.example")):
        hold(each.name.lower() not in _HOP_BY_HOP, "it passes", each)
        hold(each.name.lower() != b"set-cookie" or _OURS not in each.value.lower(), "planted", each)


def check_written(head: ResponseHead, asked: Asked) -> None:
    """Written again, it is read as the same."""
    written = write_response(head.status, head.reason, head.blocks)
    again = ResponseParser(*asked).feed(written)[0]
    if not isinstance(again, ResponseHead):
        raise TypeError(again)
    for name in ("status", "reason", "headers", "body", "connection"):
        same(getattr(again, name), getattr(head, name), f"{name} of what was written")
    if head.version == (1, 1):
        same(again.keep_alive, head.keep_alive, "keep_alive of what was written")
