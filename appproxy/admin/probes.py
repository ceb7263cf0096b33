"""
Whether each application answers through each connector of its group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import Field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.admin.errors import not_found
from appproxy.admin.objects import Row
from appproxy.admin.peer import Peer
from appproxy.admin.questions import Connectors
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.catalog.snapshot import Catalog
from appproxy.model.advice import advice
from appproxy.model.application import Connector
from appproxy.model.schema import Model

AT_ONCE: Final = 16
"""Probes under way: enough for hundreds in some seconds, too few for anybody to notice."""

MAXIMUM_PROBES: Final = 1000
"""Of one call, which says where the next one goes on: an answer of some 300 KB."""

CALL_SECONDS: Final = 30.0
"""After this no other probe begins, so that the command, which waits 60 s, gets what there is."""

_log: Final = Logger()


class Pair(NamedTuple):
    """
    An application, and a connector that should reach it.

    @ivar connector: its id; empty where the group has none at all.
    """

    application: str
    connector: str


class ProbeRequest(Model):
    """
    @ivar applications: only these; none means all.
    @ivar after: the C{next} of the call before.
    """

    applications: tuple[str, ...] = Field(default=(), max_length=MAXIMUM_PROBES)
    after: Pair | None = None


class Probes:
    """Probes some at a time, and says where to go on."""

    def __init__(
        self, clock: IReactorTime, feed: CatalogFeed, registry: ConnectorFeed, connectors: Connectors
    ) -> None:
        self._clock = clock
        self._feed = feed
        self._registry = registry
        self._connectors = connectors

    async def probe(self, request: ProbeRequest, peer: Peer) -> Row:
        """Probe what was asked for, as far as one call goes."""
        wanted = self._pairs(request)
        pairs = iter(wanted[:MAXIMUM_PROBES])
        rows: dict[Pair, Row] = {}
        until = self._clock.seconds() + CALL_SECONDS
        workers = [self._work(pairs, rows, until, peer) for _ in range(AT_ONCE)]
        await gatherResults([Deferred.fromCoroutine(each) for each in workers], consumeErrors=True)
        done = sorted(rows)
        return {
            "revision": self._feed.current.revision,
            "probes": [rows[pair] for pair in done],
            "next": list(done[-1]) if len(done) < len(wanted) else None,
        }

    def _pairs(self, request: ProbeRequest) -> Sequence[Pair]:
        applications = self._feed.current.applications
        for name in request.applications:
            if name not in applications:
                raise not_found("application", name, applications)
        pairs = pairs_of(self._feed.current, self._registry.current, request.applications)
        return [pair for pair in pairs if request.after is None or pair > request.after]

    async def _work(self, pairs: Iterator[Pair], rows: dict[Pair, Row], until: float, peer: Peer) -> None:
        # Whoever takes a pair probes it: what was not begun is left for the next call.
        while self._clock.seconds() < until and (pair := next(pairs, None)) is not None:
            rows[pair] = await self._one(pair, peer)

    async def _one(self, pair: Pair, peer: Peer) -> Row:
        catalog = self._feed.current
        application = catalog.applications.get(pair.application)
        known = self._registry.current.get(pair.connector)
        row: dict[str, object] = {
            "application": pair.application,
            "connector": pair.connector,
            "name": known.name if known is not None else "",
            "connector_group": application.connector_group if application is not None else "",
        }
        if not pair.connector:
            return row | _told({"reason": "no_connector", "detail": "the group has no connector"})
        outcome = await self._connectors.probe(pair.connector, pair.application, catalog.revision)
        row |= _told(vars(outcome))
        _log.info(
            "{event}: {application} through {connector}: {outcome}, asked by {actor}",
            event="probe",
            application=pair.application,
            connector=row["name"],
            connector_group=row["connector_group"],
            outcome=outcome.reason or outcome.status,
            detail=outcome.detail,
            actor=peer.user,
            transaction_id=outcome.transaction_id,
        )
        return row


def pairs_of(catalog: Catalog, registry: Mapping[str, Connector], some: Sequence[str] = ()) -> Sequence[Pair]:
    """
    Each application with each connector that is to reach it, in order.

    @param some: only these applications; none means all.
    """
    by_group: dict[str, list[str]] = {}
    for id_, connector in registry.items():
        if connector.role == "connector" and not connector.revoked_at:
            by_group.setdefault(connector.group, []).append(id_)
    applications = catalog.applications
    return sorted(
        {
            Pair(name, connector)
            for name in some or applications
            for connector in by_group.get(applications[name].connector_group, [""])
        }
    )


def _told(outcome: Mapping[str, object]) -> dict[str, object]:
    reason = str(outcome["reason"])
    return {
        "reachable": not reason,
        "status": outcome.get("status") or None,
        "connect_ms": outcome.get("connect_ms"),
        "answer_ms": outcome.get("answer_ms"),
        "reason": reason or None,
        "detail": outcome["detail"] or None,
        "advice": advice(reason) or None,
        "transaction_id": outcome.get("transaction_id"),
    }
