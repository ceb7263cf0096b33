"""
Keeps a copy of what stands under one prefix of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.store.istore import Event, IStore, Item, Listing, StoreError, Watch

FIRST_RETRY_SECONDS: Final = 0.2
LONGEST_RETRY_SECONDS: Final = 5.0
"""A store that comes back is noticed within this time; one that is away is not hammered."""

Changes = Mapping[str, Item | None]
"""By key: the document as it is now, L{None} if it is gone."""

_log = Logger()


class Follower:
    """
    Reads everything once, then follows by watch; a broken watch means that all
    is read again before anything is trusted.

    @ivar revision: the revision of the store up to which changes are known.
    @ivar is_current: whether the copy is complete and followed.
    """

    def __init__(
        self, store: IStore, clock: IReactorTime, prefix: str, changed: Callable[[int, Changes], None]
    ) -> None:
        """
        @param changed: told of each set of changes: its revision, and the documents
            by key. The first call has all of them.
        """
        self.revision = 0
        self.is_current = False
        self._store = store
        self._clock = clock
        self._prefix = prefix
        self._changed = changed
        self._known: dict[str, int] = {}
        self._watch: Watch | None = None
        self._retry: IDelayedCall | None = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._first_read: Deferred[None] | None = None
        self._is_stopped = False

    def start(self) -> Deferred[None]:
        """
        @return: fires once everything was read; keeps trying while the store is away.
        """
        first = self._first_read = Deferred()
        self._read()
        return first

    def stop(self) -> None:
        """Follow no longer."""
        self._is_stopped = True
        self.is_current = False
        if self._watch is not None:
            self._watch.stop()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

    def _read(self) -> None:
        self._store.list(self._prefix).addCallback(self._have_read).addErrback(self._failed)

    def _have_read(self, listing: Listing) -> None:
        if self._is_stopped:
            return
        items = {item.key: item for item in listing.items}
        changes: dict[str, Item | None] = {
            key: item for key, item in items.items() if self._known.get(key) != item.revision
        }
        changes.update(dict.fromkeys(self._known.keys() - items.keys()))
        self._known = {key: item.revision for key, item in items.items()}
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._tell(listing.revision, changes)
        self._watch = self._store.watch(self._prefix, listing.revision, self._have_seen)
        self._watch.lost.addCallback(self._have_lost)
        self.is_current = True
        first, self._first_read = self._first_read, None
        if first is not None:
            first.callback(None)

    def _have_seen(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.item is None:
                self._known.pop(event.key, None)
            else:
                self._known[event.key] = event.item.revision
        self._tell(events[-1].revision, {event.key: event.item for event in events})

    def _tell(self, revision: int, changes: Changes) -> None:
        self.revision = revision
        self._changed(revision, changes)

    def _have_lost(self, reason: StoreError) -> None:
        self.is_current = False
        self._again(reason)

    def _failed(self, failure: Failure) -> None:
        if failure.check(StoreError) is None:
            _log.failure("{prefix} could not be followed", failure, prefix=self._prefix, fault="ours")
        self._again(failure.value)

    def _again(self, reason: BaseException | None) -> None:
        if self._is_stopped:
            return
        _log.warn(
            "{prefix} cannot be followed, trying again in {seconds} s: {reason}",
            prefix=self._prefix,
            seconds=self._retry_seconds,
            reason=str(reason),
            fault="operator",
        )
        self._retry = self._clock.callLater(self._retry_seconds, self._read)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
