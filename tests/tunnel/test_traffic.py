"""What went through tunnels is counted once, and never less than before."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel.traffic import Traffic


class Tunnel:
    """As much of a tunnel as is counted."""

    def __init__(self, received: int, sent: int, paused: float) -> None:
        self.bytes_received = received
        self.bytes_sent = sent
        self.paused_total = paused
        self.lost: Deferred[str] = Deferred()


class TrafficTests(SynchronousTestCase):
    """Sums over tunnels that come and go."""

    def test_sums(self) -> None:
        """A tunnel that is lost stays in the sums with all that it carried."""
        traffic = Traffic()
        one: Any = Tunnel(1, 10, 0.5)
        two: Any = Tunnel(2, 20, 0.25)
        traffic.follow(one)
        traffic.follow(two)
        one.bytes_received = 5
        self.assertEqual((traffic.received_bytes, traffic.sent_bytes, traffic.paused_seconds), (7, 30, 0.75))
        one.lost.callback("gone")
        self.assertEqual((traffic.received_bytes, traffic.sent_bytes, traffic.paused_seconds), (7, 30, 0.75))
