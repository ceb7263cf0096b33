"""
The requests of one HTTP/1.1 connection: read, and handled one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appproxy.edge.answer_line import AnswerLine
from appproxy.edge.channel_services import ChannelServices
from appproxy.edge.line import DRAIN_SECONDS
from appproxy.httpwire.block import Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields
from appproxy.httpwire.heads import End, RequestHead
from appproxy.httpwire.request_parser import RequestEvent, RequestParser
from appproxy.httpwire.writer import write_response
from appproxy.transport.wheel import Timer

MAXIMUM_GATHERED: Final = 32
"""Pieces of pipelined requests' answers that are gathered into one write: about 32 KiB of pages."""


class RequestSequence(AnswerLine):
    """
    A request is over when its body was received I{and} its answer was written;
    then the next one starts. The first of a connection waits for its turn among those of others.

    @ivar _early: what one read brought, while the first request waits for that.
    @ivar _held: what came meanwhile, if a request waits for something before it can start.
    @ivar _received: the request is complete.
    @ivar _answered: so is its answer.
    @ivar _between: no request has begun since the last one was over.
    """

    def __init__(self, services: ChannelServices, half_close: bool) -> None:
        AnswerLine.__init__(self, services, half_close)
        self._parser = RequestParser(services.limits)
        self._held: list[RequestEvent] | None = None
        self._received = self._answered = self._between = True
        self._arrived = False
        self._early: list[bytes] | None = None
        self._arrival: Callable[[], None] | None = None
        self._pumping = self._body_paused = False
        self._idle_timer: Timer | None = None
        self._head_timer: Timer | None = None
        self._requests = self._idle_requests = 0

    # -- for the subclass

    def _requested(self, head: RequestHead) -> None:
        """A request's head is there."""
        raise NotImplementedError

    def _forget_request(self) -> None:
        """A request is over: received and answered."""
        self._head = None

    def _bad_message(self, problem: BadMessage) -> None:
        """Whatever follows on this connection cannot be trusted to be in step."""
        raise NotImplementedError

    def _bug(self) -> None:
        """Something of ours raised: this request pays for it, and no other."""
        raise NotImplementedError

    # -- IProtocol

    def connectionMade(self) -> None:
        """Watch the client's pace from the first byte on."""
        self.transport.registerProducer(self, True)
        self._watch_head()
        self._idle_timer = self._wheel.add(self._services.idle_timeout_seconds, self._check_idle)

    def dataReceived(self, data: bytes) -> None:
        """Parse what came and act on it."""
        if self._closing:
            self._drain(len(data))
        elif not self._arrived:
            self._wait_for_turn(data)
        elif self._raw:
            if self._sink is not None:
                self._sink.client_data(data)
        else:
            try:
                events = self._parser.feed(data)
            except BadMessage as problem:
                self._bad_message(problem)
            else:
                self._pump(events)

    def _wait_for_turn(self, data: bytes) -> None:
        early = self._early
        if early is not None:
            early.append(data)
            return
        self._early = [data]
        self._arrival = arrival = self._arrive
        self._services.arrivals.enter(arrival, self._cut)
        self._read_no_more_before_turn()

    def _read_no_more_before_turn(self) -> None:
        if self._early is not None:
            self._pause_reading(True)

    def _arrive(self) -> None:
        early, self._early = self._early, None
        self._arrived, self._arrival = True, None
        for piece in early or []:
            self.dataReceived(piece)
        if self._services.draining and self._head is None and not self._raw:
            # Not even a request: there is nothing to answer any more.
            self._hang_up()

    def _leave_turn(self) -> None:
        """The connection ends, or is gone: nothing of it waits any more."""
        if self._arrival is not None:
            self._services.arrivals.leave(self._arrival)
        self._arrived = True
        self._arrival = self._early = None

    def _line_lost(self) -> None:
        super()._line_lost()
        self._leave_turn()
        for timer in (self._idle_timer, self._head_timer):
            if timer is not None:
                timer.cancel()
        self._held = None

    # -- ClientWriter

    def end(self, trailers: Fields) -> None:
        """The answer is complete."""
        if self._framer is not None:
            last = self._framer.end(trailers)
            if last:
                self.write(last)
        self._framer = None
        self._answer_over()

    def switch(self, headers: Blocks) -> None:
        """Write the 101 and hand on what the client sent after its request."""
        self.write(write_response(101, None, headers))
        self._raw = True
        kept = self._parser.accept_upgrade()
        self._pace()
        if kept and self._sink is not None:
            self._sink.client_data(kept)

    def close(self) -> None:
        """End an upgraded connection in good order."""
        self._sink = None
        self._hang_up()

    def pause_request(self) -> None:
        """Read no more of the request for now."""
        self._body_paused = True
        self._pace()

    def resume_request(self) -> None:
        """Go on reading."""
        self._body_paused = False
        self._pace()

    # -- one after the other

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
        except Exception:
            self._bug()
        finally:
            self._pumping = False
        if self._between and self._head_timer is None and not self._parser.idle and not self._closing:
            self._watch_head()
        self._pace()

    def _next_request(self) -> list[RequestEvent] | None:
        if self._between or self._closing or self._raw or not (self._received and self._answered):
            return None
        if len(self._out) >= MAXIMUM_GATHERED:
            self._flush()
        if self._client_is_slow:
            # Whoever asks and does not read gets no further answers into our memory.
            return None
        self._between = True
        try:
            return self._parser.next() or None
        except BadMessage as problem:
            self._bad_message(problem)
            return None

    def _pace(self) -> None:
        """Read on, unless something has to happen first."""
        waits = (self._held is not None or self._parser.buffered > 0) and not self._between
        self._pause_reading(self._body_paused or (waits and not self._raw))

    def _pace_changed(self, slow: bool) -> None:
        sink = self._sink
        if sink is None:
            if not slow:
                self._pump([])
        elif slow:
            sink.pause()
        else:
            sink.resume()

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
        self._requests += 1
        self._head = head
        self._between = self._received = self._answered = False
        self._drained_bytes = 0
        self._requested(head)

    def _body(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.client_data(data)
        else:
            self._drain(len(data))

    def _request_over(self, trailers: Fields) -> None:
        self._received = True
        if self._sink is not None and not self._answered:
            self._sink.client_end(trailers)
        self._both_over()

    def _answer_over(self) -> None:
        self._answered = True
        self._sink = None
        self._body_paused = False
        if self._received:
            self._both_over()
        elif not self._keep_alive:
            self._hang_up()
        else:
            self._pace()
            self._cancel_close_timer()
            self._close_timer = self._wheel.add(DRAIN_SECONDS, self._hang_up)

    def _both_over(self) -> None:
        if not (self._received and self._answered) or self._closing:
            return
        self._cancel_close_timer()
        self._forget_request()
        if not self._keep_alive or self._services.draining:
            self._hang_up()
        elif not self._pumping:
            self._pump([])

    # -- time

    def _watch_head(self) -> None:
        self._head_timer = self._wheel.add(self._services.head_timeout_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._between or self._early is not None or (self._parser.idle and self._requests):
            return
        if self._parser.idle:
            self._hang_up()
        else:
            self._bad_message(BadMessage(408, "head_too_slow"))

    def _check_idle(self) -> None:
        """Close a connection on which nothing was asked for a whole period."""
        requests, busy = self._requests, self._head is not None or self._raw or self._early is not None
        if not busy and requests == self._idle_requests:
            self._hang_up()
            return
        self._idle_requests = requests
        self._idle_timer = self._wheel.add(self._services.idle_timeout_seconds, self._check_idle)
