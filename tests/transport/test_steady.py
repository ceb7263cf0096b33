"""Tests of L{appproxy.transport.steady}."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.slim_reactor import SlimEPollReactor
from appproxy.transport.steady import FOLLOWED_PART, SteadyClock, calendar_of

HOUR = 3600.0


class SteadyTests(SynchronousTestCase):
    """A clock of the epoch that does not jump when the system's does."""

    def setUp(self) -> None:
        """Two clocks of the system, of which the first can be set."""
        self.wall, self.even = 1_000_000.0, 50.0
        self.slept = 0.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.even, lambda: self.slept)

    def pass_time(self, seconds: float) -> None:
        """Both go on."""
        self.wall += seconds
        self.even += seconds

    def test_epoch(self) -> None:
        """It begins with the system's time, and goes on as fast."""
        self.assertEqual(self.clock.seconds(), 1_000_000.0)
        self.pass_time(7)
        self.assertEqual(self.clock.seconds(), 1_000_007.0)

    def test_jump(self) -> None:
        """Whether the system's clock is set forward or back, no second is longer or shorter than it was."""
        for jump in (HOUR, -HOUR, -HOUR, HOUR):
            before = self.clock.seconds()
            self.wall += jump
            self.assertEqual(self.clock.seconds(), before)
            self.pass_time(5)
            self.assertEqual(self.clock.seconds(), before + 5)

    def test_follow(self) -> None:
        """It follows a set clock by a small part of the time that passes, in either direction."""
        for jump in (HOUR, -HOUR):
            self.wall += jump
            before = self.clock.seconds()
            self.assertEqual(self.clock.follow(10), jump)
            self.assertEqual(
                self.clock.seconds(), before + (FOLLOWED_PART if jump > 0 else -FOLLOWED_PART) * 10
            )
            while self.clock.follow(10):
                self.pass_time(10)
            self.assertEqual(self.clock.seconds(), self.wall)

    def test_drift(self) -> None:
        """A small difference, as the network's time makes them, is taken at once."""
        self.wall += 0.25
        self.assertAlmostEqual(self.clock.follow(10), 0.25)
        self.assertAlmostEqual(self.clock.seconds(), self.wall)
        self.assertAlmostEqual(self.clock.follow(10), 0)

    def test_sleep(self) -> None:
        """What passed while the machine slept has passed: sessions that were idle meanwhile are over."""
        self.wall += HOUR
        self.slept += HOUR
        self.assertAlmostEqual(self.clock.follow(10), 0)
        self.assertEqual(self.clock.seconds(), self.wall)

    def test_calendar(self) -> None:
        """What others date is judged by the system's clock, however it was set."""
        reactor = SlimEPollReactor()
        reactor.steady = self.clock
        calendar = calendar_of(reactor)
        self.wall += HOUR
        self.assertEqual(calendar.seconds(), self.wall)
        self.assertEqual(self.clock.seconds(), self.wall - HOUR)
        self.assertTrue(calendar.callLater(1, lambda: None).active())
        clock = Clock()
        self.assertIs(calendar_of(clock), clock)

    def test_reactor(self) -> None:
        """The daemons' reactor and its timers go by it."""
        reactor = SlimEPollReactor()
        self.assertLess(abs(reactor.seconds() - time.time()), HOUR)
        call = reactor.callLater(10, lambda: None)
        now = reactor.steady.seconds()
        self.patch(time, "time", lambda: now + HOUR)
        self.assertLess(abs(reactor.seconds() - now), HOUR / 2)
        timeout = reactor.timeout()
        assert timeout is not None
        self.assertGreater(timeout, 0)
        call.cancel()
