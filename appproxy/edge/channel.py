"""
HTTP/1.1 at the edge: one client connection, from parsed events to exchanges and pages.

The channel asks the gate about each request head and starts what it says. It is
the L{ClientWriter} of every answer on its connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from typing import Protocol as Interface

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from appproxy.edge.answers import Answer, Answers
from appproxy.edge.exchange import ClientConnection, Exchange, ExchangeServices
from appproxy.edge.facts import header_values
from appproxy.edge.verdict import Fetch, Forward, Local, Unauthorised, Verdict
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import NO_BODY, End, Headers, RequestHead
from appproxy.httpwire.request_parser import HeadLimits, RequestEvent, RequestParser
from appproxy.httpwire.writer import Framer, write_response
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction
from appproxy.transport.wheel import Timer, TimerWheel

WRITE_PIECE_BYTES: Final = 64 * 1024
"""Twisted's TLS is three times slower when it is given more at a time (measured)."""

DRAIN_BYTES: Final = 1 << 20
DRAIN_SECONDS: Final = 2.0
"""
How much of an upload is still read after its answer: closing at once would make
the kernel send a reset that destroys the answer on its way (RFC 9112, section 9.6).
"""

CLOSE_SECONDS: Final = 5.0
"""How long a peer may take to close its side before the connection is cut."""

_ERRORS_OF_STATUS: Final = {
    400: Error.BadRequest,
    405: Error.MethodNotAllowed,
    408: Error.RequestTimeout,
    414: Error.UriTooLong,
    431: Error.HeadTooLarge,
}


class RequestSink(Interface):
    """Whoever answers the current request and takes its body."""

    def client_data(self, data: bytes) -> None: ...
    def client_end(self, trailers: Headers) -> None: ...
    def client_gone(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Judge(Interface):
    """A gate: what is to be done with a request."""

    def judge(self, head: RequestHead, connection: object) -> Verdict: ...


class ChannelServices:
    """
    What all channels of one listener share.

    @ivar start_page: hands a request to the tree of pages.
    @ivar fetch: loads a session's record, then calls back.
    @ivar touch: notes that a session was used.
    @ivar as_page: whether published applications go through the tree of pages too.
    @ivar draining: whether connections close after their answer.
    """

    def __init__(
        self,
        judge: Callable[[RequestHead, object], Verdict],
        exchanges: ExchangeServices,
        answers: Answers,
        start_page: Callable[[EdgeChannel, RequestHead, Transaction, Local | Forward], RequestSink],
        fetch: Callable[[str, Callable[[], None]], None],
        touch: Callable[[str], None],
        new_transaction: Callable[[], Transaction],
        wheel: TimerWheel,
        schedule: Callable[[Callable[[], None]], None],
        limits: HeadLimits,
        head_timeout_seconds: float,
        idle_timeout_seconds: float,
        as_page: bool = False,
    ) -> None:
        self.judge = judge
        self.exchanges = exchanges
        self.answers = answers
        self.start_page = start_page
        self.fetch = fetch
        self.touch = touch
        self.new_transaction = new_transaction
        self.wheel = wheel
        self.schedule = schedule
        self.limits = limits
        self.head_timeout_seconds = head_timeout_seconds
        self.idle_timeout_seconds = idle_timeout_seconds
        self.as_page = as_page
        self.draining = False
        self.channels: set[EdgeChannel] = set()


@implementer(IPushProducer)
class EdgeChannel(Protocol):
    """
    One HTTP/1.1 connection of a client.

    A request is over when its body was received I{and} its answer was written;
    then the next one starts.
    """

    transport: Any
    _log = Logger()

    def __init__(self, services: ChannelServices, client: ClientConnection) -> None:
        self._services = services
        self.client = client
        self._parser = RequestParser(services.limits)
        self._head: RequestHead | None = None
        self._sink: RequestSink | None = None
        self._transaction: Transaction | None = None
        self._framer: Framer | None = None
        self._held: list[RequestEvent] | None = None
        self._received = self._answered = self._between = True
        self._keep_alive = True
        self._raw = self._closing = self._pumping = self._scheduled = False
        self._reading_paused = False
        self._drained_bytes = 0
        self._out: list[bytes] = []
        self._idle_timer: Timer | None = None
        self._head_timer: Timer | None = None
        self._close_timer: Timer | None = None
        self._requests = self._idle_requests = 0

    # -- IProtocol

    def connectionMade(self) -> None:
        """Watch the client's pace from the first byte on."""
        self._services.channels.add(self)
        self.transport.registerProducer(self, True)
        self._watch_head()
        self._idle_timer = self._services.wheel.add(self._services.idle_timeout_seconds, self._check_idle)

    def dataReceived(self, data: bytes) -> None:
        """Parse what came and act on it."""
        if self._raw:
            if self._sink is not None:
                self._sink.client_data(data)
            return
        if self._closing:
            return
        events = self._parse(self._parser.feed, data)
        if events is not None:
            self._pump(events)
            if self._between and self._head_timer is None and not self._parser.idle:
                self._watch_head()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever was at work, and let go of everything."""
        self._services.channels.discard(self)
        self._closing = True
        for timer in (self._idle_timer, self._head_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._held = None
        self._out = []
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.client_gone()
        elif self._transaction is not None:
            self._finish_local()
        self.client.gone()

    # -- IPushProducer: the client's reading pace

    def pauseProducing(self) -> None:
        """The client reads slower than we write."""
        if self._sink is not None:
            self._sink.pause()

    def resumeProducing(self) -> None:
        """The client has caught up."""
        if self._sink is not None:
            self._sink.resume()

    def stopProducing(self) -> None:
        """The transport is gone; L{connectionLost} follows."""

    # -- ClientWriter

    def interim(self, status: int, headers: Headers) -> None:
        """Write a 1xx; HTTP/1.0 has none."""
        if self._head is not None and self._head.version >= (1, 1) and not self._closing:
            self.write(write_response(status, None, headers))

    def head(self, status: int, body: int, headers: Headers) -> None:
        """Write an answer's head with the framing that this client understands."""
        head = self._head
        if head is None or self._closing:
            return
        version = head.version
        framer = self._framer = Framer(body, version)
        keep = head.keep_alive and head.upgrade is None and not self._services.draining
        self._keep_alive = keep and not framer.closes
        headers = headers + framer.headers
        if not keep:
            if not framer.closes:
                headers.append((b"Connection", b"close"))
        elif version < (1, 1) and not framer.closes:
            headers.append((b"Connection", b"keep-alive"))
        self.write(write_response(status, None, headers))

    def data(self, data: bytes) -> None:
        """Write some of the answer's body."""
        if self._raw:
            self.write(data)
        elif self._framer is not None:
            self.write(self._framer.data(data))

    def end(self, trailers: Headers) -> None:
        """The answer is complete."""
        if self._framer is not None:
            last = self._framer.end(trailers)
            if last:
                self.write(last)
        self._framer = None
        self._answer_over()

    def switch(self, headers: Headers) -> None:
        """Write the 101 and hand on what the client sent after its request."""
        self.write(write_response(101, None, headers))
        self._raw = True
        self._pause_reading(False)
        kept = self._parser.accept_upgrade()
        if kept and self._sink is not None:
            self._sink.client_data(kept)

    def close(self) -> None:
        """End an upgraded connection in good order."""
        self._sink = None
        self._lose()

    def abort(self) -> None:
        """Cut the connection, so that the client notices that the answer is incomplete."""
        self._sink = None
        self._closing = True
        self._flush()
        self.transport.abortConnection()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a page or a problem document."""
        self._sink = None
        if self._head is None or self._transaction is None or self._closing:
            return
        self._write_answer(
            self._services.answers.refused(refusal, self._head, self.client.facts, self._transaction)
        )

    def pause_request(self) -> None:
        """Read no more of the request for now."""
        self._pause_reading(True)

    def resume_request(self) -> None:
        """Go on reading."""
        if not self._parser.buffered or self._raw:
            self._pause_reading(False)

    # -- output

    def write(self, data: bytes) -> None:
        """Queue bytes; what a turn of the reactor queues leaves in one write."""
        self._out.append(data)
        if not self._scheduled:
            self._scheduled = True
            self._services.schedule(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        out, self._out = self._out, []
        if not out or self.transport is None:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        if len(data) <= WRITE_PIECE_BYTES:
            self.transport.write(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), WRITE_PIECE_BYTES):
            self.transport.write(bytes(view[start : start + WRITE_PIECE_BYTES]))

    # -- requests, one after the other

    def _parse(self, parse: Callable[..., list[RequestEvent]], *data: bytes) -> list[RequestEvent] | None:
        try:
            return parse(*data)
        except BadMessage as problem:
            self._bad_message(problem)
            return None

    def _pump(self, events: list[RequestEvent]) -> None:
        """Act on events, then on those of the next request, without recursion."""
        if self._pumping:
            return
        self._pumping = True
        try:
            more: list[RequestEvent] | None = events
            while more is not None:
                self._handle(more)
                more = self._next_request()
        finally:
            self._pumping = False
        if self._parser.buffered and not self._raw and not self._closing:
            self._pause_reading(True)

    def _next_request(self) -> list[RequestEvent] | None:
        if self._between or self._closing or self._raw or not (self._received and self._answered):
            return None
        self._between = True
        events = self._parse(self._parser.next)
        if not self._parser.buffered:
            self._pause_reading(False)
        return events or None

    def _handle(self, events: list[RequestEvent]) -> None:
        for index, event in enumerate(events):
            if self._closing:
                return
            if self._held is not None:
                self._held += events[index:]
                return
            kind = event.__class__
            if kind is RequestHead:
                self._start(event)  # type: ignore[arg-type]
            elif kind is End:
                self._request_over(event.trailers)  # type: ignore[union-attr]
            else:
                self._body(event)  # type: ignore[arg-type]

    def _start(self, head: RequestHead) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._between = False
        self._requests += 1
        self._head = head
        self._received = self._answered = False
        self._drained_bytes = 0
        transaction = self._transaction = self._services.new_transaction()
        facts = self.client.facts
        transaction.client_address = facts.client_address
        transaction.method = head.method
        transaction.host = head.host
        transaction.target = head.target
        agents = header_values(head, b"user-agent")
        transaction.user_agent = agents[0] if agents else b""
        if head.upgrade == b"websocket":
            transaction.protocol = "websocket"
        self._judge(head, transaction, first=True)

    def _judge(self, head: RequestHead, transaction: Transaction, first: bool) -> None:
        verdict = self._services.judge(head, self.client.facts)
        if verdict.__class__ is Fetch:
            if first:
                self._held = []
                self._pause_reading(True)
                self._services.fetch(verdict.session_id, self._fetched)  # type: ignore[union-attr]
                return
            verdict = Unauthorised("session_ended", "", "")
        declined: list[RequestEvent] = []
        if head.upgrade is not None and not _takes_upgrade(head, verdict):
            head.upgrade = None
            declined = self._parser.decline_upgrade()
        self._act(verdict, head, transaction)
        for event in declined:
            if event.__class__ is End:
                self._request_over([])

    def _act(self, verdict: Verdict, head: RequestHead, transaction: Transaction) -> None:
        services = self._services
        if verdict.__class__ is Forward:
            forward: Forward = verdict  # type: ignore[assignment]
            transaction.application = forward.view.id
            transaction.connector_group = forward.view.group
            principal = forward.principal
            if principal is not None:
                transaction.user = principal.label
                transaction.session = principal.session_id
                services.touch(principal.session_id)
            if services.as_page and head.upgrade is None:
                self._sink = services.start_page(self, head, transaction, forward)
                return
            exchange = Exchange(services.exchanges, self, self.client, transaction)
            self._sink = exchange
            exchange.begin(head, forward)
        elif isinstance(verdict, Local):
            self._sink = services.start_page(self, head, transaction, verdict)
        else:
            self._write_answer(services.answers.of(verdict, head, self.client.facts, transaction))

    def _fetched(self) -> None:
        held, self._held = self._held, None
        if held is None or self._closing or self._head is None or self._transaction is None:
            return
        self._pause_reading(False)
        self._judge(self._head, self._transaction, first=False)
        self._pump(held)

    def _body(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.client_data(data)
            return
        self._drained_bytes += len(data)
        if self._drained_bytes > DRAIN_BYTES:
            self._lose()

    def _request_over(self, trailers: Headers) -> None:
        self._received = True
        if self._sink is not None and not self._answered:
            self._sink.client_end(trailers)
        self._both_over()

    def _answer_over(self) -> None:
        self._answered = True
        self._sink = None
        if not self._received:
            if not self._keep_alive:
                self._lose()
                return
            self._pause_reading(False)
            self._close_timer = self._services.wheel.add(DRAIN_SECONDS, self._lose)
        self._both_over()

    def _both_over(self) -> None:
        if not (self._received and self._answered) or self._closing:
            return
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._head = self._transaction = None
        if not self._keep_alive:
            self._lose()
        elif not self._pumping:
            self._pump([])

    # -- answers of our own

    def _write_answer(self, answer: Answer) -> None:
        transaction = self._transaction
        self._sink = None
        if answer.close:
            self._keep_alive = False
            if self._head is not None:
                self._head.keep_alive = False
        without_body = self._head is not None and self._head.method == b"HEAD"
        headers = list(answer.headers)
        if without_body:
            headers.append((b"Content-Length", b"%d" % len(answer.body)))
        self.head(answer.status, NO_BODY if without_body else len(answer.body), headers)
        if answer.body and not without_body:
            self.data(answer.body)
            if transaction is not None:
                transaction.bytes_out += len(answer.body)
        if answer.log:
            self._finish_local()
        self.end([])

    def _finish_local(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._services.exchanges.finished(transaction)

    def _bad_message(self, problem: BadMessage) -> None:
        """Whatever follows on this connection cannot be trusted to be in step."""
        error = _ERRORS_OF_STATUS.get(problem.status, Error.BadRequest)
        refusal = Refusal(error, problem.rule)
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.client_gone()
            self.abort()
            return
        transaction = self._services.new_transaction()
        transaction.client_address = self.client.facts.client_address
        transaction.refused(refusal)
        answer = self._services.answers.bad_message(refusal, transaction)
        self.write(write_response(answer.status, None, [*answer.headers, *_closing_headers(answer)]))
        self.write(answer.body)
        self._services.exchanges.finished(transaction)
        self._lose()

    # -- time and the connection's end

    def _watch_head(self) -> None:
        self._head_timer = self._services.wheel.add(self._services.head_timeout_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._between or (self._parser.idle and self._requests):
            return
        if self._parser.idle:
            self._lose()
        else:
            self._bad_message(BadMessage(408, "head_too_slow"))

    def _check_idle(self) -> None:
        """Close a connection on which nothing was asked for a whole period."""
        requests, busy = self._requests, self._head is not None or self._raw
        if not busy and requests == self._idle_requests:
            self._lose()
            return
        self._idle_requests = requests
        self._idle_timer = self._services.wheel.add(self._services.idle_timeout_seconds, self._check_idle)

    def drain(self) -> None:
        """The daemon stops: an idle connection closes now, a busy one after its answer."""
        if self._head is None and not self._raw:
            self._lose()

    def _pause_reading(self, paused: bool) -> None:
        if paused == self._reading_paused or self._closing:
            return
        self._reading_paused = paused
        if paused:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def _lose(self) -> None:
        if self._closing:
            return
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.client_gone()
        if self._reading_paused:
            self._pause_reading(False)
        self._closing = True
        self._flush()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._close_timer = self._services.wheel.add(CLOSE_SECONDS, self.transport.abortConnection)


def _takes_upgrade(head: RequestHead, verdict: Verdict) -> bool:
    return isinstance(verdict, Forward) and head.upgrade in verdict.view.upgrades


def _closing_headers(answer: Answer) -> Headers:
    return [(b"Content-Length", b"%d" % len(answer.body)), (b"Connection", b"close")]
