"""L{appproxy.connector.numbers}."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.numbers import ConnectorNumbers


class ConnectorNumbersTests(SynchronousTestCase):
    """The series of a scrape."""

    def test_watched(self) -> None:
        """Tunnels, and how long the certificate lasts, are read from whoever keeps them."""
        numbers = ConnectorNumbers()
        traffic = SimpleNamespace(received_bytes=1, sent_bytes=2, paused_seconds=0.0)
        supervisor: Any = SimpleNamespace(ends=[], traffic=traffic)
        numbers.watch(supervisor, lambda: 86400.0)
        registry = CollectorRegistry()
        registry.register(numbers.metrics)
        read = registry.get_sample_value
        self.assertEqual(read("appproxy_tunnels"), 0)
        self.assertEqual(read("appproxy_certificate_expiry_seconds", {"name": "identity"}), 86400)
