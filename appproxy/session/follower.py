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

from appproxy.session.patience import in_time
from appproxy.store.istore import Event, IStore, Listing, StoreError

RETRY_SECONDS: Final = 1.0
"""Between two attempts to read anew: well within the shortest sensible grace time."""

HEARTBEAT_SECONDS: Final = 10.0
"""How often the store is asked for a sign of life: a watch on a store that hangs is silent."""

_log = Logger()


class Follower:
    """
    Tells its owner what stands under a prefix, and every change after that.

    @param read: is given each full read, before any change that came after it.
    @param changed: is given the changes.
    @param broken: is told when neither can be trusted any more.
    @ivar lost_since: when the store was lost, or L{None} while in step.
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

    @property
    def in_step(self) -> bool:
        """Whether what was told is what the store holds."""
        return self.generation > 0 and self.lost_since is None and self._running is not None

    def start(self) -> Deferred[None]:
        """
        Begin.

        @return: fires after the first full read, however often that has to be tried.
        """
        self._running = Deferred.fromCoroutine(self._run())
        return self._first

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._running is not None:
            running, self._running = self._running, None
            running.addErrback(lambda failure: failure.trap(CancelledError))
            running.cancel()

    async def _run(self) -> None:
        while True:
            reason: BaseException
            try:
                reason = await self._follow_once()
            except CancelledError:
                raise
            except Exception as error:
                reason = error
            self._lose(reason)
            await deferLater(self._clock, RETRY_SECONDS)

    async def _follow_once(self) -> BaseException:
        listing = await in_time(self._store.list(self._prefix), self._clock)
        self.generation += 1
        self._read(listing)
        lost: Deferred[BaseException] = Deferred()
        watch = self._store.watch(self._prefix, listing.revision, self._changed)
        watch.lost.addCallback(lambda reason: _fire(lost, reason))
        heartbeat = LoopingCall(self._beat, lost)
        heartbeat.clock = self._clock
        self.lost_since = None
        heartbeat.start(HEARTBEAT_SECONDS, now=False)
        if not self._first.called:
            self._first.callback(None)
        try:
            return await lost
        finally:
            heartbeat.stop()
            watch.stop()

    def _beat(self, lost: Deferred[BaseException]) -> Deferred[None]:
        answer = in_time(self._store.get(self._prefix + "-"), self._clock)
        return answer.addCallbacks(lambda _item: None, lambda failure: _fire(lost, failure.value))

    def _lose(self, reason: BaseException) -> None:
        if self.lost_since is None and self._running is not None:
            self.lost_since = self._clock.seconds()
            self._broken()
            _log.warn(
                "{event}: {prefix} is not followed any more: {reason}",
                event="store_lost",
                prefix=self._prefix,
                reason=str(reason) if isinstance(reason, StoreError) else repr(reason),
                fault="operator" if isinstance(reason, StoreError) else "ours",
            )


def _fire(waiting: Deferred[BaseException], reason: BaseException) -> None:
    if not waiting.called:
        waiting.callback(reason)
