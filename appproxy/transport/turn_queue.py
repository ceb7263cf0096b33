"""
A crowd that comes in one instant is let in a few at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_log: Final = Logger(__name__)

FIRST_REQUESTS: Final = 2
"""
Of new connections, that are looked at in one turn: some 0.3 ms each, since most often neither the user nor
what the request says is known yet. Whoever is at work already waits for these, and not for a crowd.
"""


class TurnQueue:
    """
    Beginnings, so many in a turn of the reactor: when a thousand come at once, those who ask for pages
    meanwhile wait for a few of them in each turn, and not for all.

    What a peer does with its turn holds up nobody: what is bounded is our own work.
    """

    def __init__(self, clock: IReactorTime, in_a_turn: int) -> None:
        self._clock = clock
        self._in_a_turn = in_a_turn
        self._begun = 0
        self._waiting: dict[Callable[[], None], Callable[[], None]] = {}
        self._is_due = False

    def enter(self, begin: Callable[[], None], abort: Callable[[], None]) -> None:
        """
        Begin: at once, or in the turn in which there are not so many before it.

        @param abort: called if C{begin} raises in a later turn; what it raises at once is the caller's.
        """
        if self._begun < self._in_a_turn and not self._waiting:
            self._begun += 1
            self._again()
            begin()
        else:
            self._waiting[begin] = abort
            self._again()

    def leave(self, begin: Callable[[], None]) -> None:
        """Who entered does not wait any longer, or never did."""
        self._waiting.pop(begin, None)

    def _again(self) -> None:
        if self._begun and not self._is_due:
            self._is_due = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._is_due = False
        due = list(islice(self._waiting, self._in_a_turn))
        self._begun = len(due)
        self._again()
        for begin in due:
            abort = self._waiting.pop(begin, None)
            if abort is not None:
                _begin(begin, abort)


def _begin(begin: Callable[[], None], abort: Callable[[], None]) -> None:
    """A mistake of ours costs one connection, and not those behind it."""
    try:
        begin()
    except Exception:
        _log.failure("{event}: a connection could not begin", event="bug", fault="ours")
        abort()
