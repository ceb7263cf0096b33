"""Tests of L{appproxy.transport.wheel}."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.wheel import Timer, TimerWheel


class WheelTests(SynchronousTestCase):
    """Deadlines that are cheap."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.4)
        self.wheel = TimerWheel(self.clock)
        self.fired: list[str] = []

    def add(self, seconds: float, name: str) -> Timer:
        """Start a timer that notes its name."""
        return self.wheel.add(seconds, lambda: self.fired.append(name))

    def test_fires_once(self) -> None:
        """A timer fires once, then the wheel stands still."""
        timer = self.add(5, "a")
        self.clock.advance(5)
        self.assertEqual(self.fired, [])
        self.clock.advance(1)
        self.assertEqual(self.fired, ["a"])
        self.assertFalse(timer.active)
        self.clock.pump([1] * 3)
        self.assertEqual(self.fired, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_call_for_all(self) -> None:
        """Whatever their number, timers cost the reactor one."""
        for number in range(1000):
            self.add(number % 60, "x")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(len(self.wheel), 1000)

    def test_cancelled(self) -> None:
        """A cancelled timer never fires, and leaves nothing behind."""
        timer = self.add(1, "a")
        timer.cancel()
        timer.cancel()
        timer.reset(3)
        self.assertEqual(len(self.wheel), 0)
        self.clock.pump([1] * 5)
        self.assertEqual(self.fired, [])

    def test_reset(self) -> None:
        """A timer can be put off again and again, and brought forward."""
        timer = self.add(3, "a")
        for _ in range(5):
            self.clock.advance(2)
            timer.reset(3)
        self.assertEqual(self.fired, [])
        timer.reset(100)
        timer.reset(1)
        self.clock.advance(2)
        self.assertEqual(self.fired, ["a"])

    def test_callback_may_do_anything(self) -> None:
        """A callback that fails, cancels its neighbour or adds timers does not disturb the rest."""

        def wild() -> None:
            self.wheel.add(0, lambda: self.fired.append("added"))
            for each in others:
                each.cancel()
            raise RuntimeError("wild")

        self.wheel.add(1, wild)
        others = [self.add(2, "neighbour")]
        self.add(2, "later")
        self.clock.pump([1] * 4)
        self.assertEqual(sorted(self.fired), ["added", "later"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0, 20), st.none() | st.tuples(st.floats(0, 10), st.floats(0, 20)))),
        st.sampled_from((0.25, 1.0, 3.0)),
    )
    def test_neither_early_nor_late(
        self, timers: list[tuple[float, tuple[float, float] | None]], tick: float
    ) -> None:
        """Whenever a timer is set or moved, it fires at its time or within a tick after."""
        clock = Clock()
        clock.advance(77.7)
        wheel = TimerWheel(clock, tick)
        start = clock.seconds()
        fired: dict[int, float] = {}
        wanted: dict[int, float] = {}

        def move(timer: Timer, number: int, seconds: float) -> None:
            if timer.active:
                wanted[number] = clock.seconds() + seconds
                timer.reset(seconds)

        def fire(number: int) -> None:
            fired[number] = clock.seconds()

        for number, (seconds, moved) in enumerate(timers):
            timer = wheel.add(seconds, partial(fire, number))
            wanted[number] = start + seconds
            if moved is not None:
                clock.callLater(moved[0], move, timer, number, moved[1])
        clock.pump([0.125] * 400)
        self.assertEqual(fired.keys(), wanted.keys())
        for number, moment in fired.items():
            # The pump's own step is part of the lateness.
            self.assertTrue(0 <= moment - wanted[number] + 1e-6 <= tick + 0.126, (moment, wanted[number]))
