"""L{appproxy.connector.trails}."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.trails import FAILED_REMEMBERED, LONGEST_DETAIL, REMEMBERED, Trails


class TrailsTests(SynchronousTestCase):
    """What a connector remembers of requests."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.trails = Trails(self.clock.seconds)

    def test_bound(self) -> None:
        """The oldest go; those that failed stay longer, and they are bounded too."""
        self.trails.begin("good", "wiki")
        self.trails.failed(self.trails.begin("failed", "wiki"), "backend_refused", "")
        for number in range(REMEMBERED):
            self.trails.begin(str(number), "wiki")
        self.assertIsNone(self.trails.find("good"))
        self.assertIsNotNone(self.trails.find("failed"))
        self.assertIsNotNone(self.trails.find("0"))
        for _ in range(FAILED_REMEMBERED):
            self.trails.failed(self.trails.begin("x", "wiki"), "bug", "")
        self.assertIsNone(self.trails.find("failed"))

    def test_twice(self) -> None:
        """A request that came twice is told as it went last."""
        self.trails.failed(self.trails.begin("x", "wiki"), "tunnel_lost", "")
        self.clock.advance(1)
        again = self.trails.begin("x", "wiki")
        self.assertIs(self.trails.find("x"), again)

    def test_long_detail(self) -> None:
        """A detail is told as far as a RESET would carry it."""
        trail = self.trails.begin("x", "wiki")
        self.trails.failed(trail, "bug", "x" * 10_000)
        self.assertEqual(len(str(trail.as_dict()["detail"])), LONGEST_DETAIL)
