"""
What the edge counts and writes down of each request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from twisted.internet.interfaces import IReactorTime

from appproxy.catalog.feed import CatalogFeed
from appproxy.config.edge import EdgeSettings
from appproxy.edge.tunnels import Tunnels
from appproxy.edge.web import Web
from appproxy.observe.access_log import GATHER_SECONDS, AccessFormat, LineWriter
from appproxy.observe.account import Account
from appproxy.observe.metrics import Metrics
from appproxy.observe.recent import Recent
from appproxy.observe.series import Key
from appproxy.session.records import Sessions
from appproxy.transport.certificates import CertificateDirectory
from appproxy.tunnel.traffic import Traffic


class EdgeNumbers:
    """
    The access log and the metrics.

    @ivar metrics: for the scrape.
    @ivar recent: the requests that ended lately.
    @ivar finished: takes note of a request that is over.
    """

    def __init__(self, settings: EdgeSettings, writer: LineWriter, clock: IReactorTime) -> None:
        self.metrics = Metrics()
        self._writer = writer
        writer.schedule = lambda call: clock.callLater(GATHER_SECONDS, call)
        form = AccessFormat("edge", settings.log.query_strings) if settings.log.access else None
        self.recent = Recent()
        self.finished = Account(self.metrics.served, writer, form, self.recent).finished

    def watch(
        self,
        web: Web,
        tunnels: Tunnels,
        sessions: Sessions,
        feed: CatalogFeed,
        certificates: CertificateDirectory,
        sign_ins: Mapping[str, int],
        identity_ends: Callable[[], float],
    ) -> None:
        """
        Read everything that others count from here.

        @param sign_ins: by outcome.
        @param identity_ends: when the certificate of the tunnels' side ends, seconds since the epoch.
        """
        traffic = tunnels.traffic
        self.metrics.count_from("sign_ins", lambda: {(outcome,): n for outcome, n in sign_ins.items()})
        self.metrics.count_from("tunnel_bytes", lambda: tunnel_bytes(traffic))
        self.metrics.count_from("tunnel_paused_seconds", lambda: {(): traffic.paused_seconds})
        watch = self.metrics.watch
        watch("upgraded_connections", lambda: {(each,): n for each, n in web.live.upgraded().items()})
        watch("client_connections", lambda: web.connections)
        watch("requests_active", lambda: web.live.count)
        watch("sessions", lambda: len(sessions))
        watch("store_up", lambda: float(sessions.ready and feed.is_ready))
        watch("catalog_revision", lambda: feed.current.revision)
        watch("tunnels", lambda: _by_group(tunnels, feed))
        watch("tunnel_streams", lambda: _streams(tunnels))
        watch("certificate_expiry_seconds", lambda: _seconds_left(certificates, identity_ends()))
        watch("certificates_rejected", lambda: len(certificates.rejected))

    def count_turned_away(self, by_limit: Mapping[str, int]) -> None:
        """Connections that were turned away are counted with the requests that were."""
        series = self.metrics.refused
        self.metrics.count_from(
            "refused", lambda: {**series.series, **{(limit,): count for limit, count in by_limit.items()}}
        )

    def reopen_log(self) -> None:
        """The log file was rotated away."""
        self._writer.reopen()


def tunnel_bytes(traffic: Traffic) -> dict[Key, float]:
    """What came and what left, as the metric's series."""
    return {("in",): traffic.received_bytes, ("out",): traffic.sent_bytes}


def _by_group(tunnels: Tunnels, feed: CatalogFeed) -> dict[Key, float]:
    # A group with applications and without a tunnel is what somebody has to hear of: it has its zero.
    counts = Counter({group: 0 for group in feed.current.groups if feed.current.by_group(group)})
    counts.update(str(each["connector_group"]) for each in tunnels.tunnels())
    return {(name,): float(count) for name, count in counts.items()}


def _streams(tunnels: Tunnels) -> dict[Key, float]:
    streams: Counter[str] = Counter()
    for each in tunnels.tunnels():
        count = each["streams"]
        streams[str(each["connector"])] += count if isinstance(count, int) else 0
    return {(name,): float(count) for name, count in streams.items()}


def _seconds_left(certificates: CertificateDirectory, identity_ends: float) -> dict[Key, float]:
    now = datetime.now(UTC)
    left: dict[Key, float] = {
        (name,): (ends - now).total_seconds() for name, ends in certificates.expiries().items()
    }
    return {**left, ("identity",): identity_ends - now.timestamp()}
