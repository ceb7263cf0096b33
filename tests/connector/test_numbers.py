"""L{appproxy.connector.numbers}."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.numbers import ConnectorNumbers
from appproxy.sso.errors import SignOnError
from appproxy.sso.modes import SignOns


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

    def test_sign_on(self) -> None:
        """So are sign-ons that failed, by cause, and what Kerberos has of tickets."""
        numbers, sign_ons = ConnectorNumbers(), SignOns(["none"])
        tickets: Any = SimpleNamespace(hits=7, misses=2, cached=3, silent_realms=1)
        numbers.watch_sign_on(sign_ons, tickets)
        sign_ons.failed(SignOnError("x", "sso_timeout", "kdc_timeout"))
        sign_ons.failed(SignOnError("y"))
        registry = CollectorRegistry()
        registry.register(numbers.metrics)
        read = registry.get_sample_value
        self.assertEqual(read("appproxy_sign_on_failures_total", {"cause": "kdc_timeout"}), 1)
        self.assertEqual(read("appproxy_sign_on_failures_total", {"cause": "sso_failed"}), 1)
        self.assertEqual(read("appproxy_kerberos_tokens_total", {"ticket": "kept"}), 7)
        self.assertEqual(read("appproxy_kerberos_tokens_total", {"ticket": "asked"}), 2)
        self.assertEqual(read("appproxy_kerberos_tickets"), 3)
        self.assertEqual(read("appproxy_kerberos_silent_realms"), 1)
