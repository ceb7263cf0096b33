"""What the reactor does with every event, and at the end of every turn."""

from __future__ import annotations

from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT
from typing import Any, Final

from twisted.logger import Logger

_READABLE: Final[int] = EPOLLIN
_WRITABLE: Final[int] = EPOLLOUT

_log: Final = Logger(__name__)


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
