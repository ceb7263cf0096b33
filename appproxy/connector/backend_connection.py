"""
One HTTP/1.1 connection to a backend: one exchange at a time, strictly parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from mypy_extensions import mypyc_attr
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from appproxy.bare import BareProtocol
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import End, ResponseHead
from appproxy.httpwire.response_parser import ResponseEvent, ResponseParser
from appproxy.transport.wheel import Timer, TimerWheel

WRITE_PIECE_BYTES: Final = 64 * 1024
"""Twisted's TLS is three times slower when it is given more at a time (measured)."""


class Owner(NamedTuple):
    """
    Whose a private connection is: one user's, on one client connection. Somebody
    who signs in as another user over the same client connection gets another one.

    @ivar client: the client's connection; 0 if the edge does not say which.
    @ivar user: the principal's number; 0 for anonymous.
    """

    client: int
    user: int


@mypyc_attr(allow_interpreted_subclasses=True)
class AnswerListener:
    """Who waits for the answer on a connection."""

    __slots__ = ()

    def answer_head(self, head: ResponseHead) -> None:
        """A head: interim, upgrade or final."""

    def answer_data(self, data: bytes) -> None:
        """Some of the body, or of an upgraded connection."""

    def answer_end(self, end: End) -> None:
        """The answer is complete."""

    def answer_failed(self, rule: str, started: bool) -> None:
        """
        There will be no (more of the) answer.

        @param rule: which rule was broken, or C{closed}.
        @param started: whether a byte of the answer came.
        """

    def answer_late(self) -> None:
        """It did not begin within the time that L{BackendConnection.await_answer} was given."""

    def request_writable(self, writable: bool) -> None:
        """Back-pressure of the backend on the request's body."""

    def bug(self, failure: Failure) -> None:
        """One of these raised: whoever waits for the answer must not wait for ever."""


class BackendConnection(BareProtocol):
    """
    @ivar owner: whose alone this connection is, or L{None}.
    @ivar used: how many exchanges it has served.
    @ivar idle_since: when it went back into its pool.
    @ivar idle_key: under which key it waits there; L{None} while it does not.
    @ivar open: whether it can still be used.
    """

    def __init__(self, closed: Callable[[BackendConnection], None]) -> None:
        self._closed = closed
        self._listener: AnswerListener | None = None
        self._parser: ResponseParser | None = None
        self._raw = False
        self._started = False
        self._paused = False
        self._choked = False
        self._awaited = False
        # One for all exchanges, moved from each to the next: far cheaper than one for each.
        self._deadline: Timer | None = None
        self.owner: Owner | None = None
        self.used = 0
        self.idle_since = 0.0
        self.idle_key: Hashable | None = None
        self.open = False

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way."""
        return self._listener is not None

    # -- IProtocol

    def connectionMade(self) -> None:
        """Ready for its first exchange."""
        self.open = True
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Parse, and hand on what it was."""
        listener, parser = self._listener, self._parser
        if listener is None or parser is None:
            # A byte while idle is the answer to nothing that was asked.
            self.discard()
            return
        if self._raw:
            self._dispatch([data])
            return
        self._started = True
        try:
            events = parser.feed(data)
        except BadMessage as problem:
            self._fail(problem.rule)
            return
        self._dispatch(events)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """A close may complete an answer, if it was a clean one."""
        self.open = False
        self._end_deadline()
        self._closed(self)
        if self._listener is None or self._parser is None:
            return
        try:
            events = self._parser.eof(reason.check(ConnectionDone) is not None)
        except BadMessage as problem:
            self._fail(problem.rule if self._started else "closed")
            return
        self._dispatch(events)

    # -- IPushProducer: the backend's reading pace

    def pauseProducing(self) -> None:
        """The backend reads slower than the request's body comes."""
        self._choked = True
        self._tell_writable(False)

    def resumeProducing(self) -> None:
        """The backend has caught up."""
        self._choked = False
        self._tell_writable(True)

    def stopProducing(self) -> None:
        """The transport is gone; L{connectionLost} follows."""

    # -- for the exchange

    def begin(self, listener: AnswerListener, method: bytes, upgrade: bytes | None) -> None:
        """Start an exchange; the caller then writes the request."""
        if self._parser is None:
            self._parser = ResponseParser(method, upgrade)
        else:
            self._parser.reset(method, upgrade)
        self._listener = listener
        self._started = False
        self.used += 1

    def await_answer(self, wheel: TimerWheel, seconds: float) -> None:
        """Tell the listener if no answer begins within this time from now."""
        self._awaited = True
        deadline = self._deadline
        if deadline is None:
            self._deadline = wheel.add(seconds, self._answer_is_late)
        else:
            deadline.reset(seconds)

    def answer_began(self) -> None:
        """It may take its time from here on."""
        self._awaited = False

    def write(self, data: bytes) -> None:
        """Write some of the request."""
        if len(data) <= WRITE_PIECE_BYTES:
            self.transport.write(data)
            return
        for start in range(0, len(data), WRITE_PIECE_BYTES):
            self.transport.write(data[start : start + WRITE_PIECE_BYTES])

    def pause_answer(self, paused: bool) -> None:
        """Read no more of the answer for now, or go on."""
        if paused == self._paused or not self.open:
            return
        self._paused = paused
        if paused:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def switch_to_raw(self) -> None:
        """After a 101: both directions are plain bytes."""
        self._raw = True

    def finish(self) -> bool:
        """
        The exchange is over.

        @return: whether the connection is clean and can serve another one: the answer was
            complete and the backend has read all of the request.
        """
        self._listener = None
        self._awaited = False
        self.pause_answer(False)
        parser = self._parser
        return self.open and not self._raw and not self._choked and (parser is None or parser.reusable)

    def close(self) -> None:
        """Write what is left, then close; the listener hears of the end."""
        if self.open:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def discard(self) -> None:
        """Close for good, at once."""
        self._listener = None
        self._end_deadline()
        if self.open:
            self.open = False
            self.transport.abortConnection()

    def _dispatch(self, events: list[ResponseEvent]) -> None:
        for event in events:
            listener = self._listener
            if listener is None:
                return
            try:
                if isinstance(event, bytes):
                    listener.answer_data(event)
                elif isinstance(event, ResponseHead):
                    listener.answer_head(event)
                else:
                    listener.answer_end(event)
            except Exception:
                listener.bug(Failure())

    def _answer_is_late(self) -> None:
        self._deadline = None
        listener = self._listener
        if self._awaited and listener is not None:
            self._awaited = False
            listener.answer_late()

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _tell_writable(self, writable: bool) -> None:
        listener = self._listener
        if listener is not None:
            try:
                listener.request_writable(writable)
            except Exception:
                listener.bug(Failure())

    def _fail(self, rule: str) -> None:
        listener, started = self._listener, self._started
        self.discard()
        if listener is not None:
            try:
                listener.answer_failed(rule, started)
            except Exception:
                listener.bug(Failure())


classImplements(BackendConnection, IPushProducer)
