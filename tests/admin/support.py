"""An edge's admin parts over a real store, for the tests of socket and command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.admin.peer import Peer
from appproxy.admin.questions import ExplainOutcome, ProbeOutcome
from appproxy.admin.service import Surroundings
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.model.application import Connector
from appproxy.model.principal import Principal
from appproxy.observe.recent import Recent
from appproxy.pki.authority import Authority
from appproxy.store.istore import IStore, Put
from appproxy.store.keys import CONNECTORS, encode_document
from appproxy.store.sealing import KEY_SIZE, Sealer
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker

ADA = Peer(1000, 4711, "ada")
SEALER = Sealer(bytes(KEY_SIZE))
CERTIFICATE_END = datetime(2030, 1, 1, tzinfo=UTC)


class Tunnels:
    """What a relay would tell: tunnels that apply a revision when they are told to, or at once."""

    def __init__(self) -> None:
        self.applied: dict[str, int] = {}
        self.groups: dict[str, str] = {}
        self.are_prompt = False
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def connect(self, connector_id: str, group: str) -> None:
        """A connector dials in; it has no catalog yet."""
        self.applied[connector_id], self.groups[connector_id] = 0, group

    def apply(self, connector_id: str, revision: int) -> None:
        """A connector has applied a revision."""
        self.applied[connector_id] = revision
        ready = [each for each in self._waiting if self._is_live(each[0])]
        self._waiting = [each for each in self._waiting if each not in ready]
        for _, waiting in ready:
            waiting.callback(None)

    def tunnels(self) -> Sequence[Mapping[str, object]]:
        """One for each connector."""
        return [
            {"connector": key, "connector_group": self.groups[key], "streams": 0, "revision": revision}
            for key, revision in self.applied.items()
        ]

    def live_revision(self, revision: int) -> Deferred[None]:
        """Fires once all have it."""
        if self.are_prompt:
            for key in self.applied:
                self.applied[key] = revision
        if self._is_live(revision):
            return succeed(None)
        waiting: Deferred[None] = Deferred(lambda d: self._waiting.remove((revision, d)))
        self._waiting.append((revision, waiting))
        return waiting

    def _is_live(self, revision: int) -> bool:
        return all(applied >= revision for applied in self.applied.values())


class Asked:
    """
    Connectors that answer as a test wants.

    @ivar outcomes: of probes, by connector and application; a pair that is not there answers 200.
    @ivar trails: what each connector says of any request.
    @ivar explanations: what each connector says of any sign-on; one that is not there has one good step.
    @ivar explained: every sign-on that was to be explained, in order.
    @ivar probed: every probe, in order.
    @ivar held: answers that wait, while C{hold} is set.
    """

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], ProbeOutcome] = {}
        self.trails: dict[str, Mapping[str, object]] = {}
        self.explanations: dict[str, ExplainOutcome] = {}
        self.explained: list[tuple[str, str, int, Principal]] = []
        self.probed: list[tuple[str, str, int]] = []
        self.hold = False
        self.held: list[tuple[Deferred[ProbeOutcome], ProbeOutcome]] = []

    def probe(self, connector: str, application: str, revision: int) -> Deferred[ProbeOutcome]:
        """As the test wants it."""
        self.probed.append((connector, application, revision))
        outcome = self.outcomes.get((connector, application), ProbeOutcome("P" * 26, 200, 1.5, 20.0))
        if not self.hold:
            return succeed(outcome)
        waiting: Deferred[ProbeOutcome] = Deferred()
        self.held.append((waiting, outcome))
        return waiting

    def release(self) -> None:
        """Answer the probe that waits longest."""
        waiting, outcome = self.held.pop(0)
        waiting.callback(outcome)

    def trail(self, connector: str, application: str, transaction_id: str) -> Deferred[Mapping[str, object]]:
        """As the test wants it."""
        return succeed(self.trails.get(connector, {}))

    def explain(
        self, connector: str, application: str, revision: int, principal: Principal
    ) -> Deferred[ExplainOutcome]:
        """As the test wants it."""
        self.explained.append((connector, application, revision, principal))
        return succeed(self.explanations.get(connector, ExplainOutcome("E" * 26, [step("the clock")])))


def step(name: str, outcome: str = "ok", cause: str = "", **words: str) -> dict[str, object]:
    """One step of a sign-on, as a connector tells it."""
    texts = {"detail": "", "advice": "", **words}
    return {"name": name, "outcome": outcome, "cause": cause, "milliseconds": 1.5, **texts}


class Edge:
    """The parts of an edge that administrators deal with."""

    def __init__(self, store: IStore, clock: IReactorTime, folder: Path, authority: Authority) -> None:
        self.store = store
        self.folder = folder
        self.infrastructure_key = folder / "infrastructure.key"
        self.tunnels = Tunnels()
        self.feed = CatalogFeed(store, clock)
        self.connectors = ConnectorFeed(store, clock)
        self.addresses = ["connect.apps.example.com:443"]
        self.ended: list[tuple[str, str]] = []
        self.recent = Recent()
        self.connectors_asked = Asked()
        self.around = Surroundings(
            store=store,
            feed=self.feed,
            connectors=self.connectors,
            authority=authority,
            source=self.tunnels,
            own_hosts=["auth.apps.example.com", "portal.apps.example.com", "connect.apps.example.com"],
            addresses=self.addresses,
            connect_host="connect.apps.example.com",
            expiries=lambda: {"apps": CERTIFICATE_END},
            sealer=SEALER,
            sessions=self,
            questions=self.connectors_asked,
            recent=self.recent,
            log_place="the access log is edge.log",
        )

    @classmethod
    async def start(cls, store: IStore, clock: IReactorTime, folder: Path) -> Edge:
        """An edge whose feeds have read everything."""
        authority = await Authority.open(store, SEALER, clock, folder / "infrastructure.key")
        edge = cls(store, clock, folder, authority)
        await edge.feed.start()
        await edge.connectors.start()
        return edge

    async def enrol(self, connector_id: str, name: str, group: str) -> None:
        """A connector, as enrolment leaves it in the store."""
        connector = Connector(name=name, group=group, expires_at="2026-12-01T00:00:00Z")
        value = encode_document(connector.model_dump(mode="json"))
        await self.store.transact(puts=[Put(CONNECTORS + connector_id, value)])

    def stop(self) -> None:
        """Follow the store no longer."""
        self.feed.stop()
        self.connectors.stop()

    def end(self, session_id: str, why: str) -> Deferred[None]:
        """Note that a session is ended."""
        return self.end_many([session_id], why)

    def end_many(self, session_ids: Sequence[str], why: str) -> Deferred[None]:
        """Note that sessions are ended."""
        self.ended += [(session_id, why) for session_id in session_ids]
        return succeed(None)

    def end_all(self) -> Deferred[int]:
        """Note that all keys are replaced."""
        self.ended.append(("*", "keys"))
        return succeed(3)


def short_folder(add_cleanup: Callable[..., object]) -> Path:
    """A folder whose path leaves room for the name of a Unix socket (108 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="appproxy-"))
    add_cleanup(shutil.rmtree, folder)
    os.chmod(folder, 0o700)
    return folder


class EdgeTestCase(SynchronousTestCase):
    """An edge over a store in memory, which answers at once."""

    def setUp(self) -> None:
        """Start it."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.store = self.successResultOf(SqliteStore.open(IN_MEMORY, self.clock, InlineWorker()))
        self.addCleanup(self.store.close)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.edge = self.result(Edge.start(self.store, self.clock, folder))
        self.addCleanup(self.edge.stop)

    def result(self, coroutine: Any) -> Any:
        """What a coroutine comes to without waiting."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))


def at_once(job: Callable[[], Any]) -> Deferred[Any]:
    """In place of a thread."""
    return execute(job)
