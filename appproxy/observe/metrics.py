"""
What is counted: plain integers in dictionaries, read when Prometheus asks.

Label values come from the catalog and from fixed tables, never from clients;
should there be more of them all the same, the rest is counted as C{other}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from appproxy import __version__
from appproxy.form import form
from appproxy.observe.series import REQUEST_BUCKETS, SIGN_ON_BUCKETS, Counter, Histogram, Key, Series

_log: Final = Logger(__name__)

LAG_SECONDS: Final = 1.0
"""Between two looks at how late the reactor is."""

Labels = tuple[str, ...]
Reading = Mapping[Key, float] | float
"""What a gauge's source answers: one number, or a number for each label set."""


_COUNTERS: Final[dict[str, tuple[str, Labels]]] = {
    "requests": ("Requests that ended.", ("application", "code", "error")),
    "request_bytes": ("Body bytes.", ("application", "direction")),
    "refused": ("Requests and connections turned away.", ("reason",)),
    "sign_ins": ("Sign-ins that ended.", ("outcome",)),
    "sign_on_failures": ("Requests that could not be signed on to their application.", ("cause",)),
    "kerberos_tokens": ("Requests with a Kerberos token, by where its ticket was.", ("ticket",)),
    "tunnel_bytes": ("Bytes of tunnels.", ("direction",)),
    "tunnel_paused_seconds": ("Time for which tunnels waited for their peers to read.", ()),
    "log_lines_dropped": ("Lines of the log that found no room, or that the disk refused.", ()),
}

_HISTOGRAMS: Final[dict[str, tuple[str, Labels, tuple[float, ...]]]] = {
    "request_seconds": ("From the head to the last byte.", ("application",), REQUEST_BUCKETS),
    "first_byte_seconds": (
        "From the head to the first byte of the answer.",
        ("application",),
        REQUEST_BUCKETS,
    ),
    "backend_seconds": ("How long applications took to answer.", ("application",), REQUEST_BUCKETS),
    "sso_seconds": ("How long signing on took.", ("mode", "outcome"), SIGN_ON_BUCKETS),
}

_GAUGES: Final[dict[str, tuple[str, Labels]]] = {
    "requests_active": ("Requests under way.", ()),
    "client_connections": ("Connections of clients.", ()),
    "upgraded_connections": ("Upgraded connections, WebSockets mostly.", ("application",)),
    "probe_up": ("Whether the last probe was answered.", ("application", "connector")),
    "sessions": ("Sessions known to this process.", ()),
    "tunnels": ("Tunnels that are up.", ("connector_group",)),
    "tunnel_streams": ("Streams open in tunnels.", ("connector",)),
    "kerberos_tickets": ("Users' tickets that are kept.", ()),
    "kerberos_silent_realms": ("Realms whose KDC has missed the deadline, and not answered since.", ()),
    "backend_connections": ("Connections to applications.", ("application", "state")),
    "certificate_expiry_seconds": ("Seconds until a certificate ends.", ("name",)),
    "certificates_rejected": ("Certificate files that are of no use; older ones may be in use.", ()),
    "catalog_revision": ("The catalog that is in use.", ()),
    "store_up": ("Whether the store answers.", ()),
    "reactor_timers": ("Timers that wait in the reactor.", ()),
    "reactor_lag_seconds": ("How late the reactor was in its last second.", ()),
    "open_descriptors": ("Files and sockets that the process has open.", ()),
    "descriptor_limit": ("How many it may have.", ()),
    "memory_bytes": ("Memory that the process has in use.", ()),
}


class Metrics(Collector):
    """
    All that a daemon counts. Register it with a C{prometheus_client} registry.

    Counters and histograms are kept by label values, in the order of the tables above. Gauges are
    read from their sources when asked for; one without a source is not shown.

    @ivar served: what is counted of requests.
    """

    def __init__(self) -> None:
        self.served = served = Series()
        self.observe, self.forget_application = served.observe, served.forget_application
        self.requests, self.request_bytes, self.refused = (
            served.requests,
            served.request_bytes,
            served.refused,
        )
        self.request_seconds, self.first_byte_seconds = served.request_seconds, served.first_byte_seconds
        self.backend_seconds, self.sso_seconds = served.backend_seconds, served.sso_seconds
        self.sign_ins = Counter()
        self.sign_on_failures = Counter()
        self.kerberos_tokens = Counter()
        self.tunnel_bytes = Counter()
        self.tunnel_paused_seconds = Counter()
        self.log_lines_dropped = Counter()
        self.requests_active = 0
        self._counter_sources: dict[str, Callable[[], Mapping[Key, float]]] = {}
        self._sources: dict[str, Callable[[], Reading]] = {"requests_active": lambda: self.requests_active}

    def watch(self, gauge: str, source: Callable[[], Reading]) -> None:
        """
        Say where a gauge's value comes from.

        @param source: called at every scrape; a number, or a mapping of label values to numbers.
        @raise KeyError: if there is no such gauge.
        """
        if gauge not in _GAUGES:
            raise KeyError(gauge)
        self._sources[gauge] = source

    def count_from(self, counter: str, source: Callable[[], Mapping[Key, float]]) -> None:
        """
        Say where a counter's series come from, which somebody else keeps.

        @param source: called at every scrape; its numbers only ever grow.
        @raise KeyError: if there is no such counter.
        """
        if counter not in _COUNTERS:
            raise KeyError(counter)
        self._counter_sources[counter] = source

    def collect(self) -> Iterable[Metric]:
        """See C{prometheus_client.registry.Collector}."""
        yield InfoMetricFamily("appproxy_build", "What runs.", {"version": __version__, "form": form()})
        for name, (text, labels) in _COUNTERS.items():
            yield self._counter(name, text, labels)
        for name, (text, labels, _) in _HISTOGRAMS.items():
            yield self._histogram(name, text, labels)
        for name, source in self._sources.items():
            yield self._gauge(name, source)

    def _counter(self, name: str, text: str, labels: Labels) -> Metric:
        family = CounterMetricFamily(f"appproxy_{name}", text, labels=labels)
        source = self._counter_sources.get(name)
        series: Mapping[Key, float] = getattr(self, name).series if source is None else source()
        for key, value in series.items():
            family.add_metric([*map(str, key)], value)
        return family

    def _histogram(self, name: str, text: str, labels: Labels) -> Metric:
        family = HistogramMetricFamily(f"appproxy_{name}", text, labels=labels)
        series: dict[Key, Histogram] = getattr(self, name).series
        for key, histogram in series.items():
            family.add_metric([*map(str, key)], histogram.buckets(), histogram.total)
        return family

    def _gauge(self, name: str, source: Callable[[], Reading]) -> Metric:
        text, labels = _GAUGES[name]
        family = GaugeMetricFamily(f"appproxy_{name}", text, labels=labels)
        try:
            reading = source()
        except Exception:
            # One broken number must not hide the others.
            _log.failure("{event}: {gauge} cannot be read", event="metric_failed", fault="ours", gauge=name)
            return family
        series = reading if isinstance(reading, Mapping) else {(): reading}
        for key, value in series.items():
            family.add_metric([*map(str, key)], value)
        return family


class ReactorLag:
    """
    How late the reactor comes to what is due: the measure of an overloaded process.

    @ivar seconds: at the last look.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._expected = 0.0
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self.seconds = 0.0

    def start(self) -> None:
        """Look every second from now on."""
        self._expected = self._clock.seconds() + LAG_SECONDS
        self._looking.start(LAG_SECONDS, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        now = self._clock.seconds()
        self.seconds = max(0.0, now - self._expected)
        self._expected = now + LAG_SECONDS
