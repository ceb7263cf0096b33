"""
Work that waits for the end of the reactor's turn, so that what many events
caused leaves in one write.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from appproxy.transport.dispatch import call_all
from appproxy.transport.slim_reactor import SlimEPollReactor

Schedule = Callable[[Callable[[], None]], None]
"""Takes something to be called once, when this turn of the reactor is over."""


class NextTurn:
    """The end of a turn on a reactor that has no such notion: the start of the next, all together."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[Callable[[], None]] = []

    def __call__(self, call: Callable[[], None]) -> None:
        """Call it at the start of the next turn."""
        if not self._waiting:
            self._clock.callLater(0, self._run)
        self._waiting.append(call)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        call_all(waiting)


def end_of_turn(reactor: IReactorTime) -> Schedule:
    """How to schedule for the end of the turn on this reactor."""
    if isinstance(reactor, SlimEPollReactor):
        return reactor.at_end_of_turn
    return NextTurn(reactor)
