"""
One edge's sessions on a real store in memory, with a clock that tests move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.session.handover import Handover
from appproxy.session.keyring import Keyring
from appproxy.session.record import Tokens
from appproxy.session.records import Sessions
from appproxy.store.sealing import Sealer
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker
from tests.store.breakable import BreakableStore

START: Final = 1_800_000_000.0
AUTH: Final = "https://auth.example.com"
WIKI: Final = "https://wiki.example.com"
WIKI_HOST: Final = b"wiki.example.com"
ADA: Final = Principal(
    "https://login.example.com",
    "ada-subject",
    "",
    user_principal_name="ada@example.com",
    display_name="Ada Lovelace",
    groups=frozenset({"HR", "mathematicians"}),
)
GRACE: Final = Principal("https://login.example.com", "grace-subject", "", "grace@example.com")


@dataclass(frozen=True)
class ShortLives:
    """C{[session]} with its defaults."""

    maximum_lifetime: float = 14 * 3600.0
    idle_lifetime: float = 3600.0
    revocation_grace: float = 60.0


class Edge:
    """
    What one edge keeps of sessions, over a store that several edges may share.
    """

    def __init__(self, store: SqliteStore, clock: Clock, lifetimes: ShortLives | None = None) -> None:
        self.store = BreakableStore(store)
        self.clock = clock
        self.lifetimes = lifetimes or ShortLives()
        self.sealer = Sealer(b"k" * 32)
        self.keyring = Keyring(self.store, self.sealer, clock, self.lifetimes.maximum_lifetime)
        self.sessions = Sessions(self.store, self.sealer, self.keyring, clock, self.lifetimes)
        self.handover = Handover(self.keyring, self.sessions, self.store, clock, AUTH)
        self.ended: list[str] = []
        self.sessions.watch_ended(self.ended.append)


class EdgeTestCase(SynchronousTestCase):
    """
    Has an edge that is ready, and can make a second one over the same store.
    """

    lifetimes = ShortLives()

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.real_store: SqliteStore = self.successResultOf(
            SqliteStore.open(IN_MEMORY, self.clock, InlineWorker())
        )
        self.edge = self.make_edge()

    def make_edge(self) -> Edge:
        """One more edge over the same store."""
        edge = Edge(self.real_store, self.clock, self.lifetimes)
        self.successResultOf(edge.sessions.start())
        self.addCleanup(edge.sessions.stop)
        return edge

    def begin_session(self, principal: Principal = ADA, edge: Edge | None = None, **tokens: Any) -> str:
        """Somebody signs in."""
        return self.successResultOf((edge or self.edge).sessions.create(principal, Tokens(**tokens)))

    def stored(self, key: str) -> bytes:
        """A value in the store."""
        item = self.successResultOf(self.real_store.get(key))
        assert item is not None, key
        return item.value

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass as it does: in small steps."""
        whole, rest = divmod(seconds, step)
        self.clock.pump([step] * int(whole))
        self.clock.advance(rest)
