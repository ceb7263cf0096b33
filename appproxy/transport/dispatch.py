"""The reactor's everyday turns in compiled code: events handed out, then what waits for the turn's end."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINTR
from select import EPOLLIN, EPOLLOUT
from typing import Any, Final

from twisted.logger import Logger

_READABLE: Final[int] = EPOLLIN
_WRITABLE: Final[int] = EPOLLOUT

EVENTS_OF_A_TURN: Final = 16
"""
The kernel keeps the others, which come next. What a turn caused leaves at its end: with all events in one
turn, edge, connector and application would work one after the other, and a processor would idle meanwhile.
"""

LONGEST_WAIT_SECONDS: Final = 2_147_483.0
"""As milliseconds, the longest that C{epoll_wait} can be told."""

_OTHER_WORK: Final = -2.0

_log: Final = Logger(__name__)


class Turns:
    """
    One turn of the reactor after the other, as long as events are all that there is to do: Twisted's own
    look for timers, threads and signals takes longer than a small event.

    @ivar end_of_turn: what is called once, after the events of this turn.
    """

    def __init__(self, reactor: Any, otherwise: Callable[[Any, int, int], object]) -> None:
        """
        @param otherwise: takes what is neither of the two everyday events.
        """
        self.end_of_turn: list[Callable[[], None]] = []
        self._reactor = reactor
        self._poll: Any = reactor._poller.poll
        self._selectables: dict[int, Any] = reactor._selectables
        self._disconnect: Callable[[Any, Any, bool], object] = reactor._disconnectSelectable
        self._otherwise = otherwise

    def run(self, timeout: float | None) -> None:
        """
        At least one turn.

        @param timeout: seconds that the first one may wait; for ever if L{None}.
        """
        wait = -1.0 if timeout is None else timeout
        while wait != _OTHER_WORK:
            self._turn(wait)
            wait = self._next_wait()

    def _turn(self, wait: float) -> None:
        try:
            # Waiting with work at hand would leave it lying until the next event.
            events = self._poll(0 if self.end_of_turn else wait, EVENTS_OF_A_TURN)
        except OSError as error:
            if error.errno != EINTR:
                raise
            events = []
        dispatch(events, self._selectables, self._disconnect, self._otherwise)
        if self.end_of_turn:
            waiting = self.end_of_turn[:]
            self.end_of_turn.clear()
            call_all(waiting)

    def _next_wait(self) -> float:
        """How long the next turn may wait, unless Twisted has something else to do before."""
        reactor = self._reactor
        if not reactor.running or reactor.threadCallQueue or reactor._newTimedCalls or reactor._justStopped:
            return _OTHER_WORK
        timed = reactor._pendingTimedCalls
        if not timed:
            return -1.0
        left: float = timed[0].time - reactor.seconds()
        return min(left, LONGEST_WAIT_SECONDS) if left > 0.0 else _OTHER_WORK


def dispatch(
    events: list[tuple[int, int]],
    selectables: dict[int, Any],
    disconnect: Callable[[Any, Any, bool], object],
    otherwise: Callable[[Any, int, int], object],
) -> None:
    """
    Let everybody read or write for whom there is an event.

    @param disconnect: told of a selectable that is over, why, and whether it was reading.
    @param otherwise: takes what is neither of the two everyday events.
    """
    for descriptor, event in events:
        selectable = selectables.get(descriptor)
        if selectable is None:
            continue
        why: Any
        try:
            if event == _READABLE:
                why = selectable.doRead()
            elif event == _WRITABLE:
                why = selectable.doWrite()
            else:
                otherwise(selectable, descriptor, event)
                continue
        except BaseException as error:
            why = error
            _log.failure("{event}: a connection's protocol failed", event="protocol_failed", fault="ours")
        if why:
            disconnect(selectable, why, event == _READABLE)


def call_all(calls: list[Callable[[], None]]) -> None:
    """Call one after the other; one that fails keeps none from its turn."""
    for call in calls:
        try:
            call()
        except Exception:
            _log.failure("{event}: work at the turn's end failed", event="turn_failed", fault="ours")
