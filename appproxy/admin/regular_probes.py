"""
Probes every so often: whether applications answer, before a user asks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import random
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.admin.probes import Pair, pairs_of
from appproxy.admin.questions import Connectors, ProbeOutcome
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.observe.series import Key

AT_ONCE: Final = 8
"""Probes under way: where all applications are silent, hundreds still have their turn within minutes."""

NOT_ASKED: Final = frozenset(
    {
        "no_connector",
        "no_questions",
        "connector_timeout",
        "tunnel_lost",
        "draining",
        "overloaded",
        "stale",
        "cancelled",
    }
)
"""Reasons that speak of the connector or its tunnel, which other metrics watch, not of the application."""

_log: Final = Logger()


class RegularProbes:
    """
    Has each connector of a group call each of its applications once in an interval, one after the other.
    """

    def __init__(
        self,
        clock: IReactorTime,
        feed: CatalogFeed,
        registry: ConnectorFeed,
        connectors: Connectors,
        interval: float,
        jitter: Callable[[], float] = random,
    ) -> None:
        """
        @param interval: seconds from one probe of an application to the next.
        @param jitter: when to begin, as a part of the interval: edges that start together do not probe so.
        """
        self._clock = clock
        self._feed = feed
        self._registry = registry
        self._connectors = connectors
        self._interval = interval
        self._jitter = jitter
        self._waiting: deque[Pair] = deque()
        self._under_way: dict[Pair, Deferred[None]] = {}
        self._gap = interval
        self._timer: IDelayedCall | None = None
        self._up: dict[Pair, bool] = {}

    def start(self) -> None:
        """Begin within an interval."""
        self._timer = self._clock.callLater(self._jitter() * self._interval, self._turn)

    def stop(self) -> None:
        """Probe no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for probe in list(self._under_way.values()):
            probe.cancel()

    def up(self) -> Mapping[Key, float]:
        """
        For each application and connector, 1 if the last probe was answered, else 0; what could not be
        asked is not there. Connectors are called by their names, those that share one by their ids.
        """
        names = Counter(known.name for known in self._registry.current.values())

        def label(connector: str) -> str:
            known = self._registry.current.get(connector)
            return known.name if known is not None and names[known.name] == 1 else connector

        return {(pair.application, label(pair.connector)): float(is_up) for pair, is_up in self._up.items()}

    def _turn(self) -> None:
        if not self._waiting:
            self._begin_round()
        if self._waiting and len(self._under_way) < AT_ONCE:
            self._probe(self._waiting.popleft())
        self._timer = self._clock.callLater(self._gap, self._turn)

    def _begin_round(self) -> None:
        pairs = [pair for pair in pairs_of(self._feed.current, self._registry.current) if pair.connector]
        self._waiting.extend(pairs)
        self._gap = self._interval / max(1, len(pairs))
        there = frozenset(pairs)
        for pair in [pair for pair in self._up if pair not in there]:
            del self._up[pair]

    def _probe(self, pair: Pair) -> None:
        if pair in self._under_way:
            return

        def over(_result: object) -> None:
            del self._under_way[pair]

        def failed(failure: Failure) -> None:
            if self._timer is not None:
                _log.failure("{event}: a probe", failure, event="bug", fault="ours")

        asked = self._connectors.probe(pair.connector, pair.application, self._feed.current.revision)
        probe: Deferred[None] = asked.addCallback(lambda outcome: self._answered(pair, outcome))
        self._under_way[pair] = probe
        probe.addErrback(failed).addBoth(over)

    def _answered(self, pair: Pair, outcome: ProbeOutcome) -> None:
        was_up, is_up = self._up.get(pair, True), not outcome.reason
        if outcome.reason in NOT_ASKED:
            self._up.pop(pair, None)
        else:
            self._up[pair] = is_up
            if is_up != was_up:
                self._tell(pair, outcome)

    def _tell(self, pair: Pair, outcome: ProbeOutcome) -> None:
        known = self._registry.current.get(pair.connector)
        tell = _log.warn if outcome.reason else _log.info
        tell(
            "{event}: {application} through {connector}: {outcome}",
            event="probe_changed",
            application=pair.application,
            connector=known.name if known is not None else pair.connector,
            connector_group=known.group if known is not None else "",
            outcome=outcome.reason or outcome.status,
            detail=outcome.detail,
            transaction_id=outcome.transaction_id,
            **({"fault": "operator"} if outcome.reason else {}),
        )
