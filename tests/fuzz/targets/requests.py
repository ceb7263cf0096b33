"""Requests of a client: L{appproxy.httpwire.request_parser}, and what is written of them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import httptools

from appproxy.httpwire.block import fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, RequestHead
from appproxy.httpwire.llhttp import judge_head
from appproxy.httpwire.request_parser import RequestEvent, RequestParser
from appproxy.httpwire.rules import RequestRules
from appproxy.httpwire.wire_heads import pack_request, unpack_request
from appproxy.httpwire.writer import join_lines, request_line
from tests.corpus.cases import REQUESTS
from tests.fuzz.support import HTTP_WORDS, hold, refused, same, splits
from tests.httpwire.support import read_until_refused
from tests.httpwire.test_request_parser import GOOD_STREAM

_SEED_SIZE: Final = 2048
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_OURS: Final = b"__host-appproxy"
_HEAD_END: Final = b"\r\n\r\n"

Reading = tuple[list[RequestEvent], int | None]
"""The events that came, and the status of the refusal."""

_rules: Final = RequestRules([b"Remote-User"])

WORDS: Final = HTTP_WORDS


def seeds() -> Iterable[bytes]:
    """The corpus of requests, and a good request of every kind."""
    yield GOOD_STREAM
    yield from (b"GET " + each for each in GOOD_STREAM.split(b"GET ")[1:])
    messages = (case.message() for case in REQUESTS)
    yield from (data for data in messages if len(data) <= _SEED_SIZE)
    yield b"GET / HTTP/1.1\r\nHost:a\r\nX:\t a \t\r\nReferer:\tb\t\r\nCookie:\tc \t\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nReferer: a\r\nHost: a\r\nCookie: x=y; __Host-appproxy-session=z\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: a\r\ncookie: x\r\nCookie: y\r\nReferer: b\r\nConnection: close, x\r\n\r\n"


def target(data: bytes) -> None:
    """A stream of requests, in whole and in pieces."""
    events, status = read([data])
    for pieces in splits(data):
        again = read(pieces)
        same(again[1], status, "another split, another verdict")
        if status is None:
            same(again[0], events, "another split, other events")
    heads = [each for each in events if isinstance(each, RequestHead)]
    for head in heads:
        check_head(head)
    first = refused(BadMessage, RequestParser().feed, data[: data.find(_HEAD_END) + 4])
    if first and isinstance(first[0], RequestHead):
        judge(data[: data.find(_HEAD_END) + 4], first[0])


def read(pieces: list[bytes]) -> Reading:
    """All messages of a connection, each upgrade declined; after a refusal nothing more comes."""
    parser = RequestParser()
    events, refusal = read_until_refused(pieces, parser)
    if refusal is None:
        return events, None
    hold(400 <= refusal.status < 500, "a client's fault has another status", refusal)
    same(parser.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), [], "events after a refusal")
    return events, refusal.status


def judge(raw: bytes, head: RequestHead) -> None:
    """What we take llhttp takes, and reads the same."""
    known = head.method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH")
    shown = raw if known else b"POST" + raw[len(head.method) :]
    judged = refused(BadMessage, judge_head, httptools.HttpRequestParser, shown, 400)
    hold(judged is not None, "only llhttp refuses it", raw)
    same([each.pair for each in head.headers], judged, "llhttp reads other headers")


def check_head(head: RequestHead) -> None:
    """What every accepted head promises."""
    names = [each.known.lower for each in head.headers]
    same(names.count(b"host"), 1, "not just one Host")
    hold(sum(each in _FRAMING for each in names) <= 1, "framed more than once", names)
    same(head.host, head.host.lower(), "a host's spelling")
    hold(head.target[:1] == b"/" or (head.target, head.method) == (b"*", b"OPTIONS"), "target", head.target)
    hold(head.method != b"CONNECT", "CONNECT")
    hold(_OURS not in head.cookie.lower(), "a cookie of ours among the others", head.cookie)
    for each in head.headers:
        same(field(each.name, each.value).line, each.line, "a field that could not be made")
    if head.body == UNTIL_END or head.upgrade is not None:
        hold(head.version == (1, 1), "not for HTTP/1.0", head)
    hold(head.upgrade is None or head.body == NO_BODY, "an upgrade with a body", head)
    check_written(head)
    check_rebuilt(head)
    packed = pack_request(head.method, head.target, head.blocks)
    method, target_, blocks = unpack_request(packed)
    same((method, target_, fields_of(blocks)), (head.method, head.target, head.headers), "through a tunnel")


def check_written(head: RequestHead) -> None:
    """Written again, it is read as the same."""
    lines = [request_line(head.method, head.target), *(each.wire for each in head.blocks)]
    again = RequestParser().feed(join_lines(lines))[0]
    if not isinstance(again, RequestHead):
        raise TypeError(again)
    for name in (
        "method",
        "target",
        "headers",
        "host",
        "port",
        "body",
        "connection",
        "cookie",
        "own_cookies",
    ):
        same(getattr(again, name), getattr(head, name), f"{name} of what was written")
    if head.version == (1, 1):
        for name in ("upgrade", "keep_alive", "expects_continue", "user_agent"):
            same(getattr(again, name), getattr(head, name), f"{name} of what was written")


def check_rebuilt(head: RequestHead) -> None:
    """What may go on to an application has no identity, framing or cookie of ours."""
    for each in fields_of(_rules.rebuild(head)):
        plain = each.name.lower().replace(b"_", b"-").replace(b".", b"-")
        hold(plain not in _FRAMING, "framing passes", each)
        hold(plain not in (b"remote-user", b"connection", b"x-forwarded-for"), "it passes", each)
        hold(_OURS not in each.value.lower() or plain != b"cookie", "a cookie of ours passes", each)
        hold(plain == b"cookie" or plain.strip(b"-") not in head.connection, "Connection named it", each)
