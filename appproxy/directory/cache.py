"""
What is remembered of answers. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Remembered(Generic[T]):
    __slots__ = ("until", "value")

    def __init__(self, value: T, until: float) -> None:
        self.value = value
        self.until = until


class AnswerCache(Generic[T]):
    """A bounded number of answers, each for its time; the one that was put in first goes first."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._answers: OrderedDict[Hashable, _Remembered[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable, now: float) -> T | None:
        """What is remembered, unless its time is up."""
        remembered = self._answers.get(key)
        if remembered is None:
            return None
        if remembered.until <= now:
            del self._answers[key]
            return None
        return remembered.value

    def put(self, key: Hashable, value: T, until: float) -> None:
        """Remember."""
        self._answers.pop(key, None)
        self._answers[key] = _Remembered(value, until)
        if len(self._answers) > self._maximum:
            self._answers.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Remember this no longer."""
        self._answers.pop(key, None)

    def clear(self) -> None:
        """Remember nothing."""
        self._answers.clear()
