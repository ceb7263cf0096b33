"""
What each part of a request costs: the project's own functions, one after the
other, each alone and warm, fed with requests as browsers send them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from appproxy.connector.pool import Pool
from appproxy.connector.request_head import request_head
from appproxy.connector.served import Served
from appproxy.httpwire.block import Block, Blocks, marked_of
from appproxy.httpwire.field import Field
from appproxy.httpwire.heads import NO_BODY, ResponseHead
from appproxy.httpwire.names import REFERENCE
from appproxy.httpwire.request_parser import RequestParser
from appproxy.httpwire.response_parser import ResponseParser
from appproxy.httpwire.rules import forwarded, rebuild_response
from appproxy.httpwire.wire_heads import pack_request, pack_response, unpack_request, unpack_response
from appproxy.httpwire.writer import Framer, write_response
from appproxy.model.application import backend_view
from appproxy.observe.access_log import AccessFormat
from appproxy.observe.metrics import Metrics
from appproxy.observe.transaction import Transaction, TransactionIds
from appproxy.policy.decide import decide
from appproxy.sso.modes import SignOns
from appproxy.transport.wheel import TimerWheel
from bench.section import Values, table
from bench.stages import HOST, PORT, Stages, make_stages, the_application
from bench.tunnel_pair import TunnelPair

_REPEATS: Final = 7
"""The least counts: whatever else the machine does only ever adds."""

_AT_ONCE: Final = 16
"""Requests that share a turn of the reactor, and so the writes to the tunnel, under load."""

_BODY: Final = b"x" * 1024
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n"
    b"Last-Modified: Mon, 05 Jan 2026 09:00:00 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "695b8f50-400"\r\nAccept-Ranges: bytes\r\n\r\n'
)


@dataclass(frozen=True)
class Part:
    """
    One part of a request's way.

    @ivar where: C{edge}, C{connector}, or C{both} for what happens between them.
    @ivar work: does it once, for one of the items.
    @ivar within: whether it is part of the part before, and not to be added again.
    @ivar requests: how many requests one item stands for.
    """

    name: str
    where: str
    work: Callable[[Any], object]
    items: Sequence[Any]
    within: bool = False
    requests: int = 1


@dataclass(frozen=True)
class Cost:
    """A part with its price in microseconds."""

    name: str
    where: str
    microseconds: float
    within: bool


def run(folder: Path) -> Values:
    """
    What each part costs.

    @param folder: not needed.
    """
    costs = [Cost(part.name, part.where, _time(part), part.within) for part in _parts(make_stages())]
    together = sum(cost.microseconds for cost in costs if not cost.within)
    return {"parts": [asdict(cost) for cost in costs], "together": together}


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{run} found, as a table of a document."""
    costs = [Cost(**part) for part in results["parts"]]
    rows = [
        [f"... of that: {cost.name}" if cost.within else cost.name, cost.where, f"{cost.microseconds:.2f}"]
        for cost in costs
    ]
    return table(["part", "where", "us"], [*rows, ["**together**", "", f"**{results['together']:.1f}**"]])


def _time(part: Part) -> float:
    work, items = part.work, part.items
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.process_time()
        for item in items:
            work(item)
        best = min(best, time.process_time() - start)
    return best / (len(items) * part.requests) * 1e6


def _parts(stages: Stages) -> list[Part]:
    return [*_edge_way_in(stages), *_connector(stages), *_edge_way_out(stages), *_bookkeeping(stages)]


def _edge_way_in(stages: Stages) -> list[Part]:
    parser = RequestParser()
    gate, sessions, host = stages.gate, stages.sessions, HOST.encode()
    rules = stages.verdicts[0].view.rules
    application = the_application()
    users = [verdict.principal for verdict in stages.verdicts]
    names: dict[str, str] = {}

    def parse(raw: bytes) -> None:
        parser.feed(raw)
        parser.next()

    return [
        Part("parse the request's head", "edge", parse, stages.raw),
        Part(
            "judge it: path, route, session, policy",
            "edge",
            lambda head: gate.judge(head, stages.facts),
            stages.heads,
        ),
        Part(
            "session look-up", "edge", lambda cookie: sessions.open_cookie(cookie, host), stages.cookies, True
        ),
        Part(
            "policy",
            "edge",
            lambda user: decide("app0", application, user, datetime.now, names, ()),
            users,
            True,
        ),
        Part("rebuild its headers", "edge", rules.rebuild, stages.heads),
        Part("forwarding headers", "edge", _forwarding, stages.heads),
        Part("pack it for the tunnel", "edge", lambda head: pack_request(*head), _rebuilt(stages)),
    ]


def _connector(stages: Stages) -> list[Part]:
    packed = _packed(stages)
    pool = Pool(lambda _closed: Deferred(), TimerWheel(Clock()), time.time, 1, 1.0)
    published = backend_view("app0", the_application())
    served = Served(published, "", pool, SignOns([published.sso.mode]).of(published))
    users = [verdict.principal for verdict in stages.verdicts]
    unpacked = [(*unpack_request(head), user) for head, user in zip(packed, users, strict=True)]
    parser = ResponseParser(b"GET")

    def write(request: Any) -> None:
        method, target, headers, user = request
        request_head(served, method, target, headers, served.sign_on.headers(user), NO_BODY, False)

    def parse(answer: bytes) -> None:
        parser.feed(answer)
        parser.reset(b"GET")

    pair = TunnelPair(_packed_answer(), _BODY)
    inside = [_referer(request[2]) for request in unpacked]
    headers = _answer_head().blocks
    batches = [packed[start : start + _AT_ONCE] for start in range(0, len(packed) - _AT_ONCE, _AT_ONCE)]
    return [
        Part("tunnel: request and answer", "both", pair.exchange, batches, requests=_AT_ONCE),
        Part("unpack the request", "connector", unpack_request, packed),
        Part("sign on, write the head for the application", "connector", write, unpacked),
        Part("Referer translated", "connector", served.translator.request_header, inside, True),
        Part("parse the answer", "connector", parse, [_ANSWER + _BODY] * len(packed)),
        Part("rebuild its headers", "connector", _answer_of_connector(served), [headers] * len(packed)),
        Part(
            "pack it for the tunnel",
            "connector",
            lambda head: pack_response(200, 1024, head),
            [headers] * len(packed),
        ),
    ]


def _edge_way_out(stages: Stages) -> list[Part]:
    packed = [_packed_answer()] * len(stages.heads)
    headers = unpack_response(packed[0])[2]

    def write(head: Blocks) -> None:
        framer = Framer(1024)
        write_response(200, None, head, framer.headers)
        framer.data(_BODY)
        framer.end()

    return [
        Part("unpack the answer", "edge", unpack_response, packed),
        Part(
            "rebuild its headers",
            "edge",
            lambda head: rebuild_response(head, False, HOST.encode()),
            [headers] * len(packed),
        ),
        Part("write the answer's head", "edge", write, [headers] * len(packed)),
    ]


def _bookkeeping(stages: Stages) -> list[Part]:
    ids, metrics, lines = TransactionIds(time.time), Metrics(), AccessFormat("edge")
    wheel = TimerWheel(Clock())
    done = [_transaction(stages, number, ids()) for number in range(len(stages.heads))]
    keep_busy = wheel.add(85, _nothing)
    assert keep_busy.active
    return [
        Part("transaction id", "edge", lambda _: ids(), done),
        Part("access log line", "edge", lines.line, done),
        Part("metrics", "edge", metrics.observe, done),
        Part("a timer, set and cancelled", "edge", lambda _: wheel.add(85, _nothing).cancel(), done),
    ]


def _forwarding(head: Any) -> Block:
    return forwarded("127.0.0.1", head.host, b"https", PORT)


def _referer(headers: Blocks) -> Field:
    return next(each for each in marked_of(headers) if each.kind == REFERENCE)


def _rebuilt(stages: Stages) -> list[tuple[bytes, bytes, Blocks]]:
    rules = stages.verdicts[0].view.rules
    return [(head.method, head.target, rules.rebuild(head, _forwarding(head))) for head in stages.heads]


def _packed(stages: Stages) -> list[bytes]:
    return [pack_request(*head) for head in _rebuilt(stages)]


def _answer_head() -> ResponseHead:
    head = ResponseParser(b"GET").feed(_ANSWER)[0]
    assert isinstance(head, ResponseHead)
    return head


def _packed_answer() -> bytes:
    return pack_response(200, 1024, rebuild_response(_answer_head().blocks))


def _answer_of_connector(served: Served) -> Callable[[Blocks], Blocks]:
    return lambda headers: served.translator.response_headers(rebuild_response(headers))


def _transaction(stages: Stages, number: int, id: str) -> Transaction:
    head, user = stages.heads[number], stages.verdicts[number].principal
    assert user is not None
    made = Transaction(id, time.time(), "127.0.0.1", head.method, head.host, head.target)
    made.user_agent = head.user_agent
    made.application, made.user, made.session = "app0", user.label, user.session_id
    made.connector, made.connector_group, made.tunnel = "hq-1", "hq", "127.0.0.1:50000"
    made.status, made.bytes_out, made.duration, made.first_byte = 200, 1024, 0.0041, 0.0039
    return made


def _nothing() -> None:
    """What a timer would do."""
