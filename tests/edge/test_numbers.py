"""What the edge counts, and what it writes down of each request."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.snapshot import Catalog
from appproxy.config.common import LogSettings
from appproxy.edge.live import LiveStreams
from appproxy.edge.numbers import EdgeNumbers
from appproxy.model.application import Application, ConnectorGroup
from appproxy.model.refusal import Refusal
from appproxy.observe.access_log import LineWriter
from appproxy.observe.transaction import Transaction


class Upgraded:
    """A WebSocket, as far as the index of live streams goes."""

    is_upgraded = True

    def cut(self, why: Refusal) -> None:
        """Nothing to cut."""


class EdgeNumbersTests(SynchronousTestCase):
    """The access log's lines, and the series of a scrape."""

    def setUp(self) -> None:
        """Numbers that write to a file."""
        self.log = Path(self.mktemp())
        self.writer = LineWriter(str(self.log))
        self.addCleanup(self.writer.stop)

    def numbers(self, **log: object) -> EdgeNumbers:
        """With these settings of the log."""
        settings: Any = SimpleNamespace(log=LogSettings.model_validate(log))
        return EdgeNumbers(settings, self.writer, Clock())

    def scrape(self, numbers: EdgeNumbers) -> list[str]:
        """The series, one a line."""
        registry = CollectorRegistry()
        registry.register(numbers.metrics)
        return generate_latest(registry).decode().splitlines()

    def test_finished(self) -> None:
        """A request that ended has its line and is counted."""
        numbers = self.numbers()
        transaction = Transaction("01JABCDEFGHJKMNPQRSTVWXYZ0", 0.0, "192.0.2.1", b"GET", b"wiki", b"/a?b=c")
        transaction.application, transaction.status = "wiki", 200
        numbers.finished(transaction)
        self.writer.stop()
        line = self.log.read_text()
        self.assertIn('"path":"/a"', line)
        self.assertIn(
            'appproxy_requests_total{application="wiki",code="200",error=""} 1.0', self.scrape(numbers)
        )

    def test_no_access_log(self) -> None:
        """With C{log.access = false} there is no line, and the request is counted all the same."""
        numbers = self.numbers(access=False)
        numbers.finished(Transaction("01JABCDEFGHJKMNPQRSTVWXYZ0", 0.0))
        self.writer.stop()
        self.assertFalse(self.log.exists())
        self.assertTrue(any(line.startswith("appproxy_requests_total{") for line in self.scrape(numbers)))

    def test_watched(self) -> None:
        """Sign-ins, tunnels, WebSockets and certificates are read from whoever keeps them."""
        numbers = self.numbers()
        live = LiveStreams()
        live.add(Upgraded(), "session", "chat")
        rows = [{"connector": "c1", "connector_group": "hq", "streams": 3}] * 2
        traffic = SimpleNamespace(received_bytes=5, sent_bytes=7, paused_seconds=1.5)
        web: Any = SimpleNamespace(connections=4, live=live)
        tunnels: Any = SimpleNamespace(tunnels=lambda: rows, traffic=traffic)
        sessions: Any = _Sized(ready=True)
        feed: Any = SimpleNamespace(is_ready=True, current=catalog())
        certificates: Any = SimpleNamespace(expiries=dict, rejected={"a.pem": "no key"})
        numbers.watch(web, tunnels, sessions, feed, certificates, {"success": 2}, lambda: 0.0)
        shown = self.scrape(numbers)
        for expected in (
            'appproxy_sign_ins_total{outcome="success"} 2.0',
            'appproxy_tunnel_bytes_total{direction="in"} 5.0',
            'appproxy_tunnel_bytes_total{direction="out"} 7.0',
            "appproxy_tunnel_paused_seconds_total 1.5",
            'appproxy_upgraded_connections{application="chat"} 1.0',
            'appproxy_tunnels{connector_group="hq"} 2.0',
            'appproxy_tunnels{connector_group="branch"} 0.0',
            "appproxy_certificates_rejected 1.0",
            'appproxy_tunnel_streams{connector="c1"} 6.0',
            "appproxy_client_connections 4.0",
            "appproxy_sessions 3.0",
            "appproxy_catalog_revision 9.0",
            "appproxy_store_up 1.0",
        ):
            self.assertIn(expected, shown)
        self.assertTrue([line for line in shown if 'expiry_seconds{name="identity"} -' in line])
        # Nobody misses the tunnel of a group that has no applications.
        self.assertFalse([line for line in shown if "unused" in line])


def catalog() -> Catalog:
    """Three groups, one of them without applications."""
    applications = {
        group: Application.model_validate(
            {
                "name": group,
                "external_url": f"https://{group}.example.com/",
                "internal_url": f"http://{group}.corp.example/",
                "connector_group": group,
            }
        )
        for group in ("hq", "branch")
    }
    groups = {name: ConnectorGroup(name=name) for name in ("hq", "branch", "unused")}
    return Catalog(9, applications, groups)


class _Sized(SimpleNamespace):
    """Sessions that can be counted."""

    def __len__(self) -> int:
        return 3

    def test_turned_away(self) -> None:
        """Connections that were turned away are counted with the requests that were."""
        numbers = self.numbers()
        turned_away = {"connection_limit": 0}
        numbers.count_turned_away(turned_away)
        numbers.metrics.refused.add(("no_session",))
        self.assertIn('appproxy_refused_total{reason="connection_limit"} 0.0', self.scrape(numbers))
        turned_away["connection_limit"] = 3
        lines = self.scrape(numbers)
        self.assertIn('appproxy_refused_total{reason="connection_limit"} 3.0', lines)
        self.assertIn('appproxy_refused_total{reason="no_session"} 1.0', lines)
