"""
Numbers by label values: plain integers and floats, counted where they happen.

Label values come from the catalog and from fixed tables, never from clients;
should there be more of them all the same, the rest is counted as C{other}.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from mypy_extensions import mypyc_attr

from appproxy.observe.transaction import Transaction

MAXIMUM_SERIES: Final = 5000
"""Label sets of one metric: a catalog of a thousand applications with the few outcomes that each has."""

OTHER: Final = "other"

REQUEST_BUCKETS: Final[tuple[float, ...]] = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    85.0,
)
"""Seconds: from a cached page on a local line to the default backend timeout."""

SIGN_ON_BUCKETS: Final[tuple[float, ...]] = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Seconds: from a cached ticket to a domain controller that does not answer."""

Key = tuple[str | int, ...]
"""Label values."""


class Histogram:
    """
    Observations in buckets, without locks: there is one thread.
    """

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = REQUEST_BUCKETS) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds with how many observations are at or below each."""
        labels = [*map(str, self._bounds), "+Inf"]
        running = 0
        cumulated: list[tuple[str, float]] = []
        for label, count in zip(labels, self.counts, strict=True):
            running += count
            cumulated.append((label, running))
        return cumulated


def _with_room(series: dict[Key, Any], key: Key) -> Key:
    """Where to count what has no series yet: under L{OTHER} if there are too many already."""
    return key if len(series) < MAXIMUM_SERIES else (OTHER,) * len(key)


class Counter:
    """
    Numbers by label values; not more of them than L{MAXIMUM_SERIES}.

    @ivar series: the numbers.
    """

    __slots__ = ("series",)

    def __init__(self) -> None:
        self.series: dict[Key, float] = {}

    def add(self, key: Key, amount: float = 1) -> None:
        """Count."""
        series = self.series
        if key not in series:
            key = _with_room(series, key)
        series[key] = series.get(key, 0) + amount


class Histograms:
    """
    Histograms by label values; not more of them than L{MAXIMUM_SERIES}.

    @ivar series: the histograms.
    """

    __slots__ = ("_bounds", "series")

    def __init__(self, bounds: tuple[float, ...] = REQUEST_BUCKETS) -> None:
        self._bounds = bounds
        self.series: dict[Key, Histogram] = {}

    def observe(self, key: Key, seconds: float) -> None:
        """Count one observation."""
        found = self.series.get(key)
        if found is None:
            key = _with_room(self.series, key)
            found = self.series.setdefault(key, Histogram(self._bounds))
        found.observe(seconds)


@mypyc_attr(allow_interpreted_subclasses=True)
class Series:
    """
    What is counted of requests.

    @ivar requests: that ended.
    """

    def __init__(self) -> None:
        self.requests = Counter()
        self.request_bytes = Counter()
        self.refused = Counter()
        self.request_seconds = Histograms()
        self.first_byte_seconds = Histograms()
        self.backend_seconds = Histograms()
        self.sso_seconds = Histograms(SIGN_ON_BUCKETS)

    def observe(self, transaction: Transaction) -> None:
        """Count a request that ended."""
        t = transaction
        application = t.application
        key = (application,)
        self.requests.add((application, t.status, t.error))
        if t.reason:
            self.refused.add((t.reason,))
        if t.duration >= 0:
            self.request_seconds.observe(key, t.duration)
        if t.first_byte >= 0:
            self.first_byte_seconds.observe(key, t.first_byte)
        if t.backend_time >= 0:
            self.backend_seconds.observe(key, t.backend_time)
        if t.sso_time >= 0:
            outcome = "failed" if t.reason == "sso_failed" else "done"
            self.sso_seconds.observe((t.sso_mode, outcome), t.sso_time)
        if t.bytes_in:
            self.request_bytes.add((application, "in"), t.bytes_in)
        if t.bytes_out:
            self.request_bytes.add((application, "out"), t.bytes_out)
