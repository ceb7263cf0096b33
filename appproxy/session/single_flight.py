"""
One question under way at a time, many who wait for its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """
    Callers with the same key share one call and get a Deferred of their own:
    one who cancels does not take the answer from the others.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[T]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def run(self, key: Hashable, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Ask, unless the same is being asked already."""
        mine: Deferred[T] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(mine)
            return mine
        self._waiting[key] = [mine]
        begin().addBoth(self._answer, key)
        return mine

    def _answer(self, result: T | Failure, key: Hashable) -> None:
        for waiter in self._waiting.pop(key):
            if not waiter.called:
                waiter.callback(result)
