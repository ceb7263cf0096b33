"""
A store behind a line that tests cut, hold up and mend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, fail

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

T = TypeVar("T")


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

    def keep_alive(self, leases: Sequence[int]) -> Deferred[frozenset[int]]:
        """As the real one."""
        return self._over_the_line(lambda: self._store.keep_alive(leases))

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
