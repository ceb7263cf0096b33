"""Tests of L{appproxy.observe.metrics} and L{appproxy.observe.metrics_site}."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe.metrics import Metrics, ReactorLag
from appproxy.observe.metrics_site import MetricsSite, metrics_site
from appproxy.observe.series import MAXIMUM_SERIES, OTHER, Histogram, Key
from appproxy.observe.transaction import Transaction

GAUGES = re.findall(
    r"\w+",
    """
    client_connections upgraded_connections sessions tunnels tunnel_streams backend_connections
    certificate_expiry_seconds certificates_rejected catalog_revision store_up reactor_lag_seconds
    open_descriptors descriptor_limit memory_bytes kerberos_tickets kerberos_silent_realms
    """,
)

NAMES: dict[str, set[str]] = {
    "build_info": {"version", "form"},
    "requests_total": {"application", "code", "error"},
    "request_seconds": {"application"},
    "first_byte_seconds": {"application"},
    "request_bytes_total": {"application", "direction"},
    "requests_active": set(),
    "client_connections": set(),
    "upgraded_connections": {"application"},
    "refused_total": {"reason"},
    "sign_ins_total": {"outcome"},
    "sessions": set(),
    "tunnels": {"connector_group"},
    "tunnel_streams": {"connector"},
    "sign_on_failures_total": {"cause"},
    "kerberos_tokens_total": {"ticket"},
    "kerberos_tickets": set(),
    "kerberos_silent_realms": set(),
    "tunnel_bytes_total": {"direction"},
    "tunnel_paused_seconds_total": set(),
    "backend_connections": {"application", "state"},
    "backend_seconds": {"application"},
    "sso_seconds": {"mode", "outcome"},
    "certificate_expiry_seconds": {"name"},
    "certificates_rejected": set(),
    "catalog_revision": set(),
    "store_up": set(),
    "reactor_lag_seconds": set(),
    "log_lines_dropped_total": set(),
    "open_descriptors": set(),
    "descriptor_limit": set(),
    "memory_bytes": set(),
}
"""Every metric of the manual with its labels."""


def ended(**values: object) -> Transaction:
    """A request that ended."""
    made = Transaction("x", 1.0)
    for name, value in {"application": "wiki", "status": 200, "duration": 0.02, **values}.items():
        setattr(made, name, value)
    return made


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(metrics)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name.removeprefix("appproxy_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


class MetricsTests(SynchronousTestCase):
    """What is counted, and what it is called."""

    def test_names(self) -> None:
        """Every metric of the manual is there, with these labels and no others."""
        metrics = Metrics()
        metrics.observe(
            ended(
                first_byte=0.01,
                backend_time=0.01,
                sso_time=0.001,
                sso_mode="headers",
                bytes_in=1,
                bytes_out=2,
                reason="x",
            )
        )
        metrics.sign_ins.add(("done",))
        metrics.sign_on_failures.add(("kdc_timeout",))
        metrics.kerberos_tokens.add(("kept",))
        metrics.tunnel_bytes.add(("in",), 7)
        metrics.tunnel_paused_seconds.add((), 0.5)
        metrics.log_lines_dropped.add(())
        for name, labels in NAMES.items():
            if name in GAUGES:
                metrics.watch(name, partial(dict[Key, float], {("x",) * len(labels): 1.0}))
        shown: dict[str, set[str]] = {}
        for sample, pairs in scrape(metrics):
            name = re.sub("_(bucket|sum|count)$", "", sample)
            shown.setdefault(name, set()).update(label for label, _ in pairs if label != "le")
        self.assertEqual(shown, NAMES)

    def test_counting(self) -> None:
        """Requests are counted by application, status and error; times fall into cumulated buckets."""
        metrics = Metrics()
        for duration in (0.005, 0.0051, 0.3, 1000.0):
            metrics.observe(ended(duration=duration, bytes_out=10))
        metrics.observe(ended(status=502, error="BadGateway", reason="backend_refused"))
        read = scrape(metrics)
        wiki = ("application", "wiki")
        self.assertEqual(read["requests_total", (wiki, ("code", "200"), ("error", ""))], 4)
        self.assertEqual(read["requests_total", (wiki, ("code", "502"), ("error", "BadGateway"))], 1)
        self.assertEqual(read["refused_total", (("reason", "backend_refused"),)], 1)
        self.assertEqual(read["request_bytes_total", (wiki, ("direction", "out"))], 40)
        self.assertEqual(read["request_seconds_bucket", (wiki, ("le", "0.005"))], 1)
        self.assertEqual(read["request_seconds_bucket", (wiki, ("le", "0.01"))], 2)
        self.assertEqual(read["request_seconds_bucket", (wiki, ("le", "+Inf"))], 5)
        self.assertEqual(read["request_seconds_count", (wiki,)], 5)
        self.assertAlmostEqual(read["request_seconds_sum", (wiki,)], 1000.3301)

    def test_unknown_is_not_counted(self) -> None:
        """A time that is not known is no observation."""
        metrics = Metrics()
        metrics.observe(ended(duration=-1.0))
        self.assertEqual(metrics.request_seconds.series, {})
        self.assertEqual(metrics.first_byte_seconds.series, {})

    def test_bounded(self) -> None:
        """Label values cannot fill the memory: beyond the limit they share one series; no count is lost."""
        metrics = Metrics()
        for number in range(MAXIMUM_SERIES + 50):
            metrics.observe(ended(application=f"a{number}"))
        metrics.observe(ended(application="a0"))
        self.assertEqual(len(metrics.requests.series), MAXIMUM_SERIES + 1)
        self.assertEqual(len(metrics.request_seconds.series), MAXIMUM_SERIES + 1)
        self.assertEqual(metrics.requests.series[OTHER, OTHER, OTHER], 50)
        self.assertEqual(sum(metrics.requests.series.values()), MAXIMUM_SERIES + 51)

    def test_forgotten_application(self) -> None:
        """An application that is gone leaves no series."""
        metrics = Metrics()
        metrics.observe(ended(bytes_out=1))
        metrics.observe(ended(application="chat"))
        metrics.forget_application("wiki")
        self.assertNotIn("wiki", str(scrape(metrics)))
        self.assertEqual(list(metrics.request_seconds.series), [("chat",)])

    def test_gauges(self) -> None:
        """Gauges are read at the scrape; one that fails hides no other; an unknown one is a mistake."""
        metrics = Metrics()
        metrics.requests_active = 3
        metrics.watch("tunnels", lambda: {("hq",): 2, ("lab",): 0})
        metrics.watch("store_up", lambda: 1 // 0)
        read = scrape(metrics)
        self.assertEqual(read["requests_active", ()], 3)
        self.assertEqual(read["tunnels", (("connector_group", "hq"),)], 2)
        self.assertNotIn(("store_up", ()), read)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        with self.assertRaises(KeyError):
            metrics.watch("tunels", lambda: 1)

    def test_histogram(self) -> None:
        """An observation at a bound is within it."""
        histogram = Histogram((1.0, 2.0))
        for seconds in (0.0, 1.0, 2.0, 2.1):
            histogram.observe(seconds)
        self.assertEqual(histogram.buckets(), [("1.0", 2), ("2.0", 3), ("+Inf", 4)])


class ReactorLagTests(SynchronousTestCase):
    """How late the reactor is."""

    def test_lag(self) -> None:
        """A turn that took long shows, and is over when the next was in time."""
        clock = Clock()
        lag = ReactorLag(clock)
        lag.start()
        clock.pump([1.0] * 3)
        self.assertEqual(lag.seconds, 0)
        clock.advance(3.5)
        self.assertAlmostEqual(lag.seconds, 2.5)
        clock.pump([0.5] * 6)
        self.assertLessEqual(lag.seconds, 0.5)
        lag.stop()
        lag.stop()
        self.assertEqual(clock.getDelayedCalls(), [])


class MetricsSiteTests(SynchronousTestCase):
    """What monitoring asks over HTTP."""

    def setUp(self) -> None:
        self.ready = False
        self.metrics = Metrics()
        self.client: Any = StubTreq(MetricsSite(self.metrics, lambda: self.ready))

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body."""
        response = self.successResultOf(self.client.request(method, f"http://127.0.0.1:9643{path}"))
        return response.code, self.successResultOf(response.content())

    def test_health(self) -> None:
        """Alive at once; ready when it can serve, and not before."""
        self.assertEqual(self.get("/healthz"), (200, b"ok\n"))
        self.assertEqual(self.get("/readyz"), (503, b"no\n"))
        self.ready = True
        self.assertEqual(self.get("/readyz"), (200, b"ok\n"))

    def test_metrics(self) -> None:
        """The numbers come in Prometheus' text form, read only."""
        self.metrics.observe(ended())
        status, body = self.get("/metrics")
        self.assertEqual(status, 200)
        self.assertIn(b'appproxy_requests_total{application="wiki",code="200",error=""} 1.0', body)
        self.assertEqual(self.get("/metrics", "POST")[0], 405)
        self.assertEqual(self.get("/")[0], 404)
        self.assertEqual(self.get("/metrics/x")[0], 200)

    def test_site(self) -> None:
        """The site uses the reactor that it is given."""
        clock = Clock()
        self.assertIs(metrics_site(self.metrics, lambda: True, clock).reactor, clock)
