"""
One edge's sessions on a real store in memory, with a clock that tests move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.session.handover import Handover
from appproxy.session.keyring import Keyring
from appproxy.session.record import Tokens
from appproxy.session.records import Sessions
from appproxy.store.istore import (
    Compare,
    Event,
    IStore,
    Item,
    Listing,
    PrefixUnchanged,
    Put,
    StoreError,
    StoreUnavailable,
    Watch,
)
from appproxy.store.sealing import Sealer
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker

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

T = TypeVar("T")


@dataclass(frozen=True)
class ShortLives:
    """C{[session]} with its defaults."""

    maximum_lifetime: float = 14 * 3600.0
    idle_lifetime: float = 3600.0
    revocation_grace: float = 60.0


class _Tap:
    """A watch that can be cut."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.lost: Deferred[StoreError] = Deferred()
        watch.lost.addCallback(self.cut)

    def cut(self, reason: StoreError) -> None:
        """The watch is lost, as when a connection to the store breaks."""
        self._watch.stop()
        if not self.lost.called:
            self.lost.callback(reason)

    def stop(self) -> None:
        """As the real one."""
        self._watch.stop()


class BreakableStore:
    """
    A real store behind a line that can be cut, hang, and be mended.

    @ivar reads: keys that were asked for.
    """

    def __init__(self, store: IStore) -> None:
        self._store = store
        self._cut = False
        self._hangs = False
        self._taps: list[_Tap] = []
        self.reads: list[str] = []
        self.held: list[Callable[[], object]] | None = None

    def cut(self) -> None:
        """From now on every question fails, and watches are lost."""
        self._cut = True
        taps, self._taps = self._taps, []
        for tap in taps:
            tap.cut(StoreUnavailable("the line is cut"))

    def hang(self) -> None:
        """From now on no question is answered; watches are merely silent."""
        self._hangs = True

    def mend(self) -> None:
        """Work again."""
        self._cut = self._hangs = False

    def hold_answers(self) -> None:
        """Keep what L{get} answers until L{release}."""
        self.held = []

    def release(self) -> None:
        """Hand on what was held."""
        held, self.held = self.held or [], None
        for answer in held:
            answer()

    def get(self, key: str) -> Deferred[Item | None]:
        """As the real one."""
        self.reads.append(key)
        answer = self._over_the_line(lambda: self._store.get(key))
        if self.held is None:
            return answer
        later: Deferred[Item | None] = Deferred()
        self.held.append(lambda: answer.chainDeferred(later))
        return later

    def list(self, prefix: str) -> Deferred[Listing]:
        """As the real one."""
        return self._over_the_line(lambda: self._store.list(prefix))

    def transact(
        self,
        compares: Sequence[Compare | PrefixUnchanged] = (),
        puts: Sequence[Put] = (),
        deletes: Sequence[str] = (),
    ) -> Deferred[int]:
        """As the real one."""
        return self._over_the_line(lambda: self._store.transact(compares, puts, deletes))

    def watch(self, prefix: str, from_revision: int, callback: Callable[[Sequence[Event]], None]) -> Watch:
        """As the real one."""
        tap = _Tap(self._store.watch(prefix, from_revision, callback))
        self._taps.append(tap)
        return tap

    def lease(self, seconds: float) -> Deferred[int]:
        """As the real one."""
        return self._over_the_line(lambda: self._store.lease(seconds))

    def keep_alive(self, lease: int) -> Deferred[None]:
        """As the real one."""
        return self._over_the_line(lambda: self._store.keep_alive(lease))

    def revoke(self, lease: int) -> Deferred[None]:
        """As the real one."""
        return self._over_the_line(lambda: self._store.revoke(lease))

    def close(self) -> Deferred[None]:
        """As the real one."""
        return self._store.close()

    def _over_the_line(self, ask: Callable[[], Deferred[T]]) -> Deferred[T]:
        if self._hangs:
            return Deferred()
        if self._cut:
            return fail(StoreUnavailable("the line is cut"))
        return ask()


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
