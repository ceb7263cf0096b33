"""L{appproxy.transport.limit}."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.limit import ALL, OF_ADDRESS, TELL_SECONDS, ConnectionLimit

ONE = IPv4Address("TCP", "192.0.2.1", 1)
OTHER = IPv4Address("TCP", "192.0.2.2", 1)


class LimitTests(SynchronousTestCase):
    """L{ConnectionLimit}."""

    def setUp(self) -> None:
        """Read the log."""
        self.clock = Clock()
        self.told: list[LogEvent] = []
        observer: Any = self.told.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_all(self) -> None:
        """No more than the limit; when one leaves, another may come."""
        limit = ConnectionLimit(self.clock, 2)
        self.assertEqual([limit.admit(each) for each in (ONE, OTHER, ONE)], [True, True, False])
        limit.leave(OTHER)
        self.assertTrue(limit.admit(ONE))
        self.assertEqual(limit.active, 2)

    def test_per_address(self) -> None:
        """One address may not take all."""
        limit = ConnectionLimit(self.clock, 10, per_address=2)
        self.assertEqual([limit.admit(ONE) for _ in range(3)], [True, True, False])
        self.assertTrue(limit.admit(OTHER))
        limit.leave(ONE)
        self.assertTrue(limit.admit(ONE))

    def test_unix(self) -> None:
        """What comes through a socket without addresses is no one address."""
        limit = ConnectionLimit(self.clock, 10, per_address=1)
        self.assertEqual([limit.admit(UNIXAddress("/x")) for _ in range(2)], [True, True])

    def test_reserve(self) -> None:
        """Some more get in for a look, beyond either limit, and know that they are too many."""
        for limit in (ConnectionLimit(self.clock, 1), ConnectionLimit(self.clock, 9, per_address=1)):
            self.assertTrue(limit.admit(ONE))
            self.assertFalse(limit.is_over(ONE))
            self.assertEqual([limit.admit(ONE, reserve=2) for _ in range(3)], [True, True, False])
            self.assertTrue(limit.is_over(ONE))
            self.assertFalse(limit.admit(ONE))
            limit.leave(ONE)
            limit.leave(ONE)
            self.assertFalse(limit.is_over(ONE))

    def lines(self) -> list[tuple[str, int, str]]:
        """What the operator was told."""
        return [(str(each["event"]), each["count"], str(each["fault"])) for each in self.told]

    def test_told(self) -> None:
        """The operator is told of each limit at once, then once a minute; every one is counted."""
        limit = ConnectionLimit(self.clock, 3, per_address=2)
        for _ in range(2):
            limit.admit(ONE)
        for _ in range(5):
            limit.refuse(ONE)
        limit.admit(OTHER)
        for _ in range(4):
            limit.refuse(OTHER)
        self.assertEqual(limit.refused, {ALL: 4, OF_ADDRESS: 5})
        expected = [("connections_of_address_full", 1, "peer"), ("connections_full", 1, "operator")]
        self.assertEqual(self.lines(), expected)
        self.assertIn("192.0.2.1", str(self.told[0]["peer"]))
        self.clock.advance(TELL_SECONDS)
        limit.refuse(OTHER)
        self.assertEqual(self.lines(), [*expected, ("connections_full", 4, "operator")])
