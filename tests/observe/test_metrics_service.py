"""L{appproxy.observe.metrics_service}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe.metrics import Metrics
from appproxy.observe.metrics_service import MetricsService


class Port:
    """A listening port."""

    def __init__(self) -> None:
        self.open = True

    def stopListening(self) -> Deferred[None]:
        """Close."""
        self.open = False
        return succeed(None)


class MetricsServiceTests(SynchronousTestCase):
    """L{MetricsService}."""

    def make(self, listening: Any) -> MetricsService:
        """A service whose listener comes as the test says."""
        self.clock = Clock()
        return MetricsService(self.clock, lambda build: listening, Metrics(), lambda: True)

    def test_life(self) -> None:
        """It listens until it is stopped, and leaves no timer behind."""
        port = Port()
        service = self.make(succeed([port]))
        self.successResultOf(Deferred.fromCoroutine(service.start()))
        self.assertTrue(service.running)
        self.successResultOf(service.stopService())
        self.assertEqual((port.open, service.running), (False, False))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_taken(self) -> None:
        """An address that is taken is said; stopping is harmless then."""
        service = self.make(fail(CannotListenError("127.0.0.1", 9645, OSError(98, "in use"))))
        self.failureResultOf(Deferred.fromCoroutine(service.start()), CannotListenError)
        self.successResultOf(service.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_before(self) -> None:
        """So is stopping what was never started."""
        self.successResultOf(self.make(succeed([])).stopService())
