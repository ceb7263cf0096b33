"""Promises of L{bench.bottleneck}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.bottleneck import Bottleneck

RATE = 1000.0
DELAY = 0.5
CAPACITY = 100


def line() -> Bottleneck:
    """A thousand bytes a second, half a second away."""
    return Bottleneck(RATE, DELAY, CAPACITY)


class BottleneckTests(SynchronousTestCase):
    """One direction of a line."""

    def test_arrives_after_sending_and_delay(self) -> None:
        """The last byte arrives when all bytes were sent, and the delay is over."""
        self.assertAlmostEqual(line().enter(50, 10.0) or 0, 10.0 + 0.05 + DELAY)

    def test_one_after_the_other(self) -> None:
        """What enters at the same time arrives in turn, at the rate."""
        bottleneck = line()
        first, second = bottleneck.enter(50, 0.0), bottleneck.enter(50, 0.0)
        self.assertAlmostEqual((second or 0) - (first or 0), 0.05)

    def test_full(self) -> None:
        """What does not fit is lost, and delays nobody."""
        bottleneck = line()
        bottleneck.enter(60, 0.0)
        self.assertIsNone(bottleneck.enter(41, 0.0))
        self.assertAlmostEqual(bottleneck.enter(40, 0.0) or 0, 0.1 + DELAY)

    def test_empties(self) -> None:
        """The queue shrinks at the line's rate, down to nothing."""
        bottleneck = line()
        bottleneck.enter(100, 0.0)
        self.assertAlmostEqual(bottleneck.queued(0.04), 60.0)
        self.assertEqual(bottleneck.queued(1.0), 0.0)

    def test_no_saving_up(self) -> None:
        """A line that was idle is no faster afterwards: there is no burst."""
        bottleneck = line()
        bottleneck.enter(100, 0.0)
        self.assertAlmostEqual(bottleneck.enter(100, 60.0) or 0, 60.1 + DELAY)

    def test_empty_queue_takes_any_size(self) -> None:
        """A piece larger than the queue would otherwise wait for ever."""
        self.assertIsNotNone(line().enter(CAPACITY * 2, 0.0))

    def test_room_in(self) -> None:
        """It tells how long to wait for room, and after that there is room."""
        bottleneck = line()
        bottleneck.enter(100, 0.0)
        wait = bottleneck.room_in(30, 0.0)
        self.assertAlmostEqual(wait, 0.03)
        self.assertTrue(bottleneck.has_room(30, wait + 1e-9))
        self.assertEqual(bottleneck.room_in(30, 1.0), 0.0)

    def test_nonsense(self) -> None:
        """A line without rate or queue is refused."""
        for rate, delay, capacity in ((0.0, 0.0, 1), (1.0, -1.0, 1), (1.0, 0.0, 0)):
            self.assertRaises(ValueError, Bottleneck, rate, delay, capacity)

    @given(st.lists(st.tuples(st.integers(1, 80), st.floats(0, 0.2)), min_size=1, max_size=50))
    def test_never_faster_than_the_rate(self, sent: list[tuple[int, float]]) -> None:
        """However it is fed: in no time more arrives than the rate allows, and never out of order."""
        bottleneck, now, last, accepted = line(), 0.0, 0.0, 0
        for size, pause in sent:
            now += pause
            arrival = bottleneck.enter(size, now)
            if arrival is None:
                continue
            accepted += size
            self.assertGreaterEqual(arrival, last + size / RATE - 1e-9)
            self.assertGreaterEqual(arrival, accepted / RATE + DELAY - 1e-9)
            self.assertGreaterEqual(arrival, now + DELAY)
            last = arrival
