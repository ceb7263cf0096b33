"""
Twisted's epoll reactor with a shorter way from event to transport, and with a
place for work that belongs to the end of a turn.

Everything runs on the stock reactor too, slower. Names of Twisted's that are
used here without being promised stand in L{NEEDED_NAMES}; a test watches them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log

from appproxy.transport.dispatch import Turns
from appproxy.transport.steady import SteadyClock

NEEDED_NAMES: Final = (
    "_poller",
    "_selectables",
    "_doReadOrWrite",
    "_disconnectSelectable",
    "_newTimedCalls",
    "_pendingTimedCalls",
    "_justStopped",
    "threadCallQueue",
    "running",
)
"""Attributes of L{EPollReactor} that this module and L{appproxy.transport.dispatch} rely on."""


class SlimEPollReactor(EPollReactor):
    """
    Dispatches the two everyday events without a logging context, which is a
    third of a small event's cost; all else goes the stock way.

    @ivar at_end_of_turn: takes something to be called once, after the events of this turn.
    @ivar steady: the clock of all timers, and of C{seconds}.
    """

    def __init__(self) -> None:
        self.steady = SteadyClock()
        self.seconds = self.steady.seconds
        EPollReactor.__init__(self)
        turns = Turns(self, self._dispatch_stock)
        self.at_end_of_turn: Callable[[Callable[[], None]], None] = turns.end_of_turn.append
        self._turns = turns

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, hand them out, then do what waits for the end of the turn; and again."""
        self._turns.run(timeout)

    doIteration = doPoll

    def _dispatch_stock(self, selectable: Any, descriptor: int, event: int) -> None:
        log.callWithLogger(selectable, self._doReadOrWrite, selectable, descriptor, event)


def install() -> None:
    """
    Make it the process's reactor. Must come before anything imports C{twisted.internet.reactor}.

    @raise twisted.internet.error.ReactorAlreadyInstalledError: if there is one already.
    """
    installReactor(SlimEPollReactor())
