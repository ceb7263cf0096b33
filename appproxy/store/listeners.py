"""
Everybody who wants to be told of something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

T = TypeVar("T")

_log = Logger()


class Listeners(Generic[T]):
    """Callbacks that are told of each new value; one that fails stops no other."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[[T], None]] = {}

    def add(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """
        @return: call it to hear no more.
        """
        key = object()
        self._callbacks[key] = callback

        def remove() -> None:
            self._callbacks.pop(key, None)

        return remove

    def tell(self, value: T) -> None:
        """Tell everybody."""
        for callback in tuple(self._callbacks.values()):
            try:
                callback(value)
            except Exception:
                _log.failure("a listener failed", fault="ours")
