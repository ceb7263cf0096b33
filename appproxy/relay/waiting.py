"""
Waiting until a catalog revision is in force everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed


class RevisionWaiters:
    """
    @param is_live: whether a revision is in force everywhere now.
    """

    def __init__(self, is_live: Callable[[int], bool]) -> None:
        self._is_live = is_live
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def wait(self, revision: int) -> Deferred[None]:
        """
        @return: fires once the revision is in force; may be cancelled.
        """
        if self._is_live(revision):
            return succeed(None)
        entry: tuple[int, Deferred[None]]
        waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove(entry))
        entry = (revision, waiting)
        self._waiting.append(entry)
        return waiting

    def check(self) -> None:
        """Something changed: tell those whose time has come."""
        for entry in list(self._waiting):
            if entry in self._waiting and self._is_live(entry[0]):
                self._waiting.remove(entry)
                entry[1].callback(None)
