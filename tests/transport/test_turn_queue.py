"""L{appproxy.transport.turn_queue}."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.turn_queue import TurnQueue


def nothing() -> None:
    """Nobody has to be told."""


class QueueTests(SynchronousTestCase):
    """L{TurnQueue}."""

    def test_turns(self) -> None:
        """In each turn a bounded number begins, the first at once, in the order in which they came."""
        due: list[Callable[[], None]] = []
        clock: Any = SimpleNamespace(callLater=lambda _seconds, call: due.append(call))
        begun, queue = list[int](), TurnQueue(clock, 3)
        for number in range(7):
            queue.enter(lambda number=number: begun.append(number), nothing)  # type: ignore[misc]
        self.assertEqual(begun, [0, 1, 2])
        for count in (6, 7, 7):
            (turn,) = due
            due.clear()
            turn()
            self.assertEqual(begun, list(range(count)))
        self.assertEqual(due, [])
        queue.enter(lambda: begun.append(7), nothing)
        self.assertEqual(begun[-1], 7)

    def test_left(self) -> None:
        """Who hung up meanwhile costs nothing."""
        clock, begun = Clock(), list[str]()
        queue = TurnQueue(clock, 1)

        def gone() -> None:
            begun.append("gone")

        queue.enter(lambda: begun.append("first"), nothing)
        queue.enter(gone, nothing)
        queue.enter(lambda: begun.append("there"), nothing)
        queue.leave(gone)
        queue.leave(gone)
        clock.advance(0)
        self.assertEqual(begun, ["first", "there"])

    def test_mistake(self) -> None:
        """A mistake of ours costs one connection: those behind it have their turns."""
        clock, begun = Clock(), list[str]()
        queue = TurnQueue(clock, 1)

        def broken() -> None:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, queue.enter, broken, nothing)
        queue.enter(broken, lambda: begun.append("aborted"))
        queue.enter(lambda: begun.append("next"), nothing)
        for _ in range(2):
            clock.advance(0)
        self.assertEqual(begun, ["aborted", "next"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
