"""Tests of L{appproxy.signin.throttle}."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.signin.throttle import FAILURES, MAXIMUM_ADDRESSES, WINDOW_SECONDS, FailureThrottle


class ThrottleTests(SynchronousTestCase):
    """
    Who has to wait.

    Security row 42.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.throttle = FailureThrottle(self.clock)

    def fail(self, address: str, times: int = FAILURES) -> None:  # type: ignore[override]
        """Fail so often."""
        for _ in range(times):
            self.throttle.failed(address)

    def test_blocked(self) -> None:
        """After so many failures an address is blocked, and no other one; a window later it is not."""
        self.fail("192.0.2.1", FAILURES - 1)
        self.assertFalse(self.throttle.is_blocked("192.0.2.1"))
        self.fail("192.0.2.1", 1)
        self.assertTrue(self.throttle.is_blocked("192.0.2.1"))
        self.assertFalse(self.throttle.is_blocked("192.0.2.2"))
        self.clock.advance(WINDOW_SECONDS)
        self.assertFalse(self.throttle.is_blocked("192.0.2.1"))
        self.fail("192.0.2.1", 1)
        self.assertFalse(self.throttle.is_blocked("192.0.2.1"))

    def test_never_for_good(self) -> None:
        """Failing on while blocked does not make it longer: somebody else may sit behind the same address."""
        self.fail("192.0.2.1")
        self.clock.advance(WINDOW_SECONDS - 1)
        self.fail("192.0.2.1")
        self.clock.advance(1)
        self.assertFalse(self.throttle.is_blocked("192.0.2.1"))

    def test_spellings(self) -> None:
        """A machine is one, whichever of its addresses it takes."""
        self.fail("2001:db8:1:2::1", FAILURES // 2)
        self.fail("2001:db8:1:2:ffff::9", FAILURES // 2)
        self.assertTrue(self.throttle.is_blocked("2001:db8:1:2:3:4:5:6"))
        self.assertFalse(self.throttle.is_blocked("2001:db8:1:3::1"))
        self.fail("::ffff:192.0.2.1")
        self.assertTrue(self.throttle.is_blocked("192.0.2.1"))
        self.assertFalse(self.throttle.is_blocked("::ffff:192.0.2.2"))
        self.fail("")
        self.assertTrue(self.throttle.is_blocked(""))

    def test_bounded(self) -> None:
        """Only so many addresses are remembered; the oldest goes first."""
        for number in range(MAXIMUM_ADDRESSES + 10):
            self.throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        self.assertEqual(len(self.throttle), MAXIMUM_ADDRESSES)
