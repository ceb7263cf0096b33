"""
Twisted's epoll reactor with a shorter way from event to transport, and with a
place for work that belongs to the end of a turn.

Everything runs on the stock reactor too, slower. Names of Twisted's that are
used here without being promised stand in L{NEEDED_NAMES}; a test watches them.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINTR
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log

from appproxy.transport.dispatch import call_all, dispatch

NEEDED_NAMES: Final = ("_poller", "_selectables", "_doReadOrWrite", "_disconnectSelectable")
"""Attributes of L{EPollReactor} that this module relies on."""

EVENTS_OF_A_TURN: Final = 16
"""
The kernel keeps the others, which come next. What a turn caused leaves at its end: with all events in one
turn, edge, connector and application would work one after the other, and a processor would idle meanwhile.
"""


class SlimEPollReactor(EPollReactor):
    """
    Dispatches the two everyday events without a logging context, which is a
    third of a small event's cost; all else goes the stock way.

    @ivar at_end_of_turn: takes something to be called once, after the events of this turn.
    """

    def __init__(self) -> None:
        self._end_of_turn: list[Callable[[], None]] = []
        self.at_end_of_turn: Callable[[Callable[[], None]], None] = self._end_of_turn.append
        EPollReactor.__init__(self)

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, hand them out, then do what waits for the end of the turn."""
        # Waiting with work at hand would leave it lying until the next event.
        wait = 0 if self._end_of_turn else -1 if timeout is None else timeout
        try:
            events = self._poller.poll(wait, EVENTS_OF_A_TURN)
        except OSError as error:
            if error.errno != EINTR:
                raise
            events = []
        dispatch(events, self._selectables, self._disconnectSelectable, self._dispatch_stock)
        if self._end_of_turn:
            waiting = self._end_of_turn[:]
            self._end_of_turn.clear()
            call_all(waiting)

    doIteration = doPoll

    def _dispatch_stock(self, selectable: Any, descriptor: int, event: int) -> None:
        log.callWithLogger(selectable, self._doReadOrWrite, selectable, descriptor, event)


def install() -> None:
    """
    Make it the process's reactor. Must come before anything imports C{twisted.internet.reactor}.

    @raise twisted.internet.error.ReactorAlreadyInstalledError: if there is one already.
    """
    installReactor(SlimEPollReactor())
