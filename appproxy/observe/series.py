"""
Numbers by label values: plain integers and floats, counted where they happen.

Label values come from the catalog and from fixed tables, never from clients;
should there be more of them all the same, the rest is counted as C{other}.
"""

from __future__ import annotations

from typing import Any, Final

from appproxy.model.refusal import SIGN_ON_REASONS
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


class Count:
    """
    One number that grows.

    @ivar value: how far it came.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Histogram:
    """
    Observations in buckets, without locks: there is one thread.
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...] = REQUEST_BUCKETS) -> None:
        self._bounds = bounds
        self._counts = [Count() for _ in range(len(bounds) + 1)]
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        # One by one: what is usual falls into the first ones.
        place = 0
        for bound in self._bounds:
            if seconds <= bound:
                break
            place += 1
        self._counts[place].value += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds with how many observations are at or below each."""
        labels = [*map(str, self._bounds), "+Inf"]
        running = 0.0
        cumulated: list[tuple[str, float]] = []
        for label, count in zip(labels, self._counts, strict=True):
            running += count.value
            cumulated.append((label, running))
        return cumulated


def _with_room(series: dict[Key, Any], key: Key) -> Key:
    """Where to count what has no series yet: under L{OTHER} if there are too many already."""
    return key if len(series) < MAXIMUM_SERIES else (OTHER,) * len(key)


class Counter:
    """
    Numbers by label values; not more of them than L{MAXIMUM_SERIES}.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Key, Count] = {}

    @property
    def series(self) -> dict[Key, float]:
        """The numbers as they are now."""
        return {key: count.value for key, count in self._counts.items()}

    def of(self, key: Key) -> Count:
        """Where to count; valid until L{forget}."""
        found = self._counts.get(key)
        if found is None:
            found = self._counts.setdefault(_with_room(self._counts, key), Count())
        return found

    def add(self, key: Key, amount: float = 1) -> None:
        """Count."""
        self.of(key).value += amount

    def forget(self, place: int, label: str) -> None:
        """Drop the series that have this label at this place."""
        for key in [key for key in self._counts if key[place] == label]:
            del self._counts[key]


class Histograms:
    """
    Histograms by label values; not more of them than L{MAXIMUM_SERIES}.

    @ivar series: the histograms.
    """

    __slots__ = ("_bounds", "series")

    def __init__(self, bounds: tuple[float, ...] = REQUEST_BUCKETS) -> None:
        self._bounds = bounds
        self.series: dict[Key, Histogram] = {}

    def of(self, key: Key) -> Histogram:
        """Where to count; valid until L{forget}."""
        found = self.series.get(key)
        if found is None:
            found = self.series.setdefault(_with_room(self.series, key), Histogram(self._bounds))
        return found

    def observe(self, key: Key, seconds: float) -> None:
        """Count one observation."""
        self.of(key).observe(seconds)

    def forget(self, place: int, label: str) -> None:
        """Drop the histograms that have this label at this place."""
        for key in [key for key in self.series if key[place] == label]:
            del self.series[key]


class _Application:
    """One application's series, as far as they began: found once, not with every request."""

    __slots__ = ("backend", "done", "first_byte", "received", "request", "sent")

    def __init__(self) -> None:
        self.done: dict[int, Count] = {}
        self.received: Count | None = None
        self.sent: Count | None = None
        self.request: Histogram | None = None
        self.first_byte: Histogram | None = None
        self.backend: Histogram | None = None


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
        self._applications: dict[str, _Application] = {}

    def observe(self, transaction: Transaction) -> None:
        """Count a request that ended."""
        t = transaction
        known = self._applications.get(t.application)
        if known is None:
            known = self._enter(t.application)
        self._count(known, t)
        self._time(known, t)
        if t.reason:
            self.refused.add((t.reason,))
        if t.sso_time >= 0:
            outcome = "failed" if t.reason in SIGN_ON_REASONS else "done"
            self.sso_seconds.observe((t.sso_mode, outcome), t.sso_time)

    def forget_application(self, application: str) -> None:
        """Drop the series of an application that is not published any more."""
        self._applications.clear()
        for counter in (self.requests, self.request_bytes):
            counter.forget(0, application)
        for histograms in (self.request_seconds, self.first_byte_seconds, self.backend_seconds):
            histograms.forget(0, application)

    def _enter(self, application: str) -> _Application:
        if len(self._applications) >= MAXIMUM_SERIES:
            self._applications.clear()
        made = self._applications[application] = _Application()
        return made

    def _count(self, known: _Application, transaction: Transaction) -> None:
        t = transaction
        done = known.done.get(t.status) if not t.error else None
        if done is None:
            done = self.requests.of((t.application, t.status, t.error))
            if not t.error:
                known.done[t.status] = done
        done.value += 1
        if t.bytes_in:
            if known.received is None:
                known.received = self.request_bytes.of((t.application, "in"))
            known.received.value += t.bytes_in
        if t.bytes_out:
            if known.sent is None:
                known.sent = self.request_bytes.of((t.application, "out"))
            known.sent.value += t.bytes_out

    def _time(self, known: _Application, transaction: Transaction) -> None:
        t = transaction
        if t.duration >= 0:
            if known.request is None:
                known.request = self.request_seconds.of((t.application,))
            known.request.observe(t.duration)
        if t.first_byte >= 0:
            if known.first_byte is None:
                known.first_byte = self.first_byte_seconds.of((t.application,))
            known.first_byte.observe(t.first_byte)
        if t.backend_time >= 0:
            if known.backend is None:
                known.backend = self.backend_seconds.of((t.application,))
            known.backend.observe(t.backend_time)
