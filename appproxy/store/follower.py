"""
Keeping in step with a part of the store: one full read, then every change;
and both again whenever the changes can no longer be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.store.istore import Event, IStore, Listing, StoreError
from appproxy.store.patience import in_time

RETRY_SECONDS: Final = 1.0
"""Between two attempts to read anew: soon enough for every grace time, and no hammering."""

HEARTBEAT_SECONDS: Final = 10.0
"""How often the store is asked for a sign of life: a watch on a store that hangs is silent."""

_log = Logger()


class Follower:
    """
    Tells its owner what stands under a prefix, and every change after that.

    @ivar in_step: whether what was told is what the store holds.
    @ivar lost_since: when the store was lost, or L{None} while it answers.
    @ivar generation: the number of full reads so far.
    """

    def __init__(
        self,
        store: IStore,
        prefix: str,
        clock: IReactorTime,
        read: Callable[[Listing], None],
        changed: Callable[[Sequence[Event]], None],
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        """
        @param read: is given each full read, before any change that came after it.
        @param changed: is given the changes.
        @param broken: is told when neither can be trusted any more.
        """
        self.in_step = False
        self.generation = 0
        self.lost_since: float | None = None
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._read = read
        self._changed = changed
        self._broken = broken
        self._first: Deferred[None] = Deferred()
        self._running: Deferred[None] | None = None

    def start(self) -> Deferred[None]:
        """
        Begin.

        @return: fires after the first full read, however often that has to be tried.
        """
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))
        return self._first

    def stop(self) -> None:
        """Tell nothing any more."""
        self.in_step = False
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._follow_once()
            except CancelledError:
                raise
            except Exception:
                self._lose(Failure())
            await deferLater(self._clock, RETRY_SECONDS)

    async def _follow_once(self) -> None:
        """Read all, then follow; ends with the exception that ended it."""
        listing = await in_time(self._store.list(self._prefix), self._clock)
        self.generation += 1
        self.in_step = True
        self._read(listing)
        self.lost_since = None
        lost: Deferred[None] = Deferred()
        watch = self._store.watch(self._prefix, listing.revision, self._changed)
        watch.lost.addCallback(lambda reason: _break(lost, Failure(reason)))
        heartbeat = LoopingCall(self._beat, lost)
        heartbeat.clock = self._clock
        heartbeat.start(HEARTBEAT_SECONDS, now=False)
        if not self._first.called:
            self._first.callback(None)
        try:
            await lost
        finally:
            heartbeat.stop()
            watch.stop()

    def _beat(self, lost: Deferred[None]) -> Deferred[None]:
        answer = in_time(self._store.get(self._prefix + "-"), self._clock)
        return answer.addCallbacks(lambda _item: None, lambda failure: _break(lost, failure))

    def _lose(self, failure: Failure) -> None:
        self.in_step = False
        if self.lost_since is not None:
            return
        self.lost_since = self._clock.seconds()
        self._broken()
        if failure.check(StoreError):
            _log.warn(
                "{event}: {prefix} is not followed any more: {reason}",
                event="store_lost",
                prefix=self._prefix,
                reason=str(failure.value),
                fault="operator",
            )
        else:
            _log.failure("{event}: {prefix}", failure, event="bug", prefix=self._prefix, fault="ours")


def _break(following: Deferred[None], failure: Failure) -> None:
    if not following.called:
        following.errback(failure)
