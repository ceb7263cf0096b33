"""
Stores for tests, at once and without waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock

from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker


def memory_store(clock: Clock) -> SqliteStore:
    """A store in memory whose Deferreds have all fired already."""
    opened: list[SqliteStore] = []
    SqliteStore.open(IN_MEMORY, clock, InlineWorker()).addCallback(opened.append)
    return opened[0]


class ThreadedClock(Clock):
    """Time that a test moves, and a real reactor to come back to from threads."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        super().__init__()
        self._reactor = reactor

    def callFromThread(self, function: Callable[..., Any], *args: object, **keywords: object) -> None:
        """Hand over to the real reactor."""
        self._reactor.callFromThread(function, *args, **keywords)
