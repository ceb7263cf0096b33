"""
Twisted's epoll reactor with a shorter way from event to transport, and with a
place for work that belongs to the end of a turn.

Everything runs on the stock reactor too, slower. Names of Twisted's that are
used here without being promised stand in L{NEEDED_NAMES}; a test watches them.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINTR
from select import EPOLLIN, EPOLLOUT
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python import log

NEEDED_NAMES: Final = ("_poller", "_selectables", "_doReadOrWrite", "_disconnectSelectable")
"""Attributes of L{EPollReactor} that this module relies on."""

_log: Final = Logger()


class SlimEPollReactor(EPollReactor):
    """
    Dispatches the two everyday events without a logging context, which is a
    third of a small event's cost; all else goes the stock way.
    """

    def __init__(self) -> None:
        self._end_of_turn: list[Callable[[], None]] = []
        EPollReactor.__init__(self)

    def at_end_of_turn(self, call: Callable[[], None]) -> None:
        """Call it once, after the events of this turn."""
        self._end_of_turn.append(call)

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, hand them out, then do what waits for the end of the turn."""
        # Waiting with work at hand would leave it lying until the next event.
        wait = 0 if self._end_of_turn else -1 if timeout is None else timeout
        try:
            events = self._poller.poll(wait, max(1, len(self._selectables)))
        except OSError as error:
            if error.errno != EINTR:
                raise
            events = []
        selectables = self._selectables
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is not None:
                self._dispatch(selectable, descriptor, event)
        if self._end_of_turn:
            self._finish_turn()

    doIteration = doPoll

    def _dispatch(self, selectable: Any, descriptor: int, event: int) -> None:
        if event not in (EPOLLIN, EPOLLOUT):
            log.callWithLogger(selectable, self._doReadOrWrite, selectable, descriptor, event)
            return
        is_read = event == EPOLLIN
        why: Any
        try:
            why = selectable.doRead() if is_read else selectable.doWrite()
        except BaseException as error:
            why = error
            _log.failure("{event}: a connection's protocol failed", event="protocol_failed", fault="ours")
        if why:
            self._disconnectSelectable(selectable, why, is_read)  # type: ignore[no-untyped-call]

    def _finish_turn(self) -> None:
        waiting, self._end_of_turn = self._end_of_turn, []
        for call in waiting:
            try:
                call()
            except Exception:
                _log.failure("{event}: work at the turn's end failed", event="turn_failed", fault="ours")


def install() -> None:
    """
    Make it the process's reactor. Must come before anything imports C{twisted.internet.reactor}.

    @raise twisted.internet.error.ReactorAlreadyInstalledError: if there is one already.
    """
    installReactor(SlimEPollReactor())
