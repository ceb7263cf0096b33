"""
The store in one SQLite file: for one machine, and owned by one process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from sqlite3 import Error as SqliteError
from typing import Final, Generic, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.store.database import IN_MEMORY, Database
from appproxy.store.istore import (
    Compare,
    Event,
    Item,
    Listing,
    PrefixUnchanged,
    Put,
    StoreError,
    StoreUnavailable,
    Watch,
    check_changes,
    check_key,
    check_prefix,
)
from appproxy.store.worker import ThreadWorker, Worker

__all__ = ["IN_MEMORY", "SqliteStore"]

SHORTEST_SWEEP_INTERVAL: Final = 1.0
"""Ended leases are told to watchers about once a second at most; readers never see them at all."""

_SWEEP_RETRY: Final = 5.0
"""After a failure (a full disk), try again this much later."""

_T = TypeVar("_T")
_log = Logger()


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[_T]):
    """What a job brings back from the worker."""

    result: _T | Failure
    events: Sequence[Event]
    next_expiry: float | None


class _Watch:
    """One watcher: told what comes after its position."""

    def __init__(self, prefix: str, position: int, callback: Callable[[Sequence[Event]], None]) -> None:
        self.prefix = prefix
        self.position = position
        self.lost: Deferred[StoreError] = Deferred()
        self._callback: Callable[[Sequence[Event]], None] | None = callback

    def tell(self, events: Sequence[Event]) -> None:
        """Hand on what is news to this watcher."""
        news = [e for e in events if e.revision > self.position and e.key.startswith(self.prefix)]
        if not news or self._callback is None:
            return
        self.position = news[-1].revision
        try:
            self._callback(news)
        except Exception:
            _log.failure("a watcher of {prefix} failed", prefix=self.prefix, fault="ours")

    def lose(self, reason: StoreError) -> None:
        """Nothing will be told any more, and the watcher is to know."""
        if self._callback is not None:
            self._callback = None
            self.lost.callback(reason)

    def stop(self) -> None:
        """Tell no more changes."""
        self._callback = None

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is to be told any more."""
        return self._callback is None


class SqliteStore:
    """
    The store (L{appproxy.store.istore.IStore}) in one SQLite file.

    All work on the file is done by one worker in the order it was asked for,
    so what comes back is in the order of revisions too.
    """

    def __init__(self, database: Database, clock: IReactorTime, worker: Worker) -> None:
        """Not for callers: see L{SqliteStore.open}."""
        self._database = database
        self._clock = clock
        self._worker = worker
        self._watches: list[_Watch] = []
        self._telling: deque[Callable[[], None]] = deque()
        self._is_telling = False
        self._sweep_call: IDelayedCall | None = None
        self._is_closed = False

    @classmethod
    def open(
        cls, path: str | PathLike[str], reactor: IReactorTime, worker: Worker | None = None
    ) -> Deferred[SqliteStore]:
        """
        Open the file, and make it (0600) if there is none.

        @param path: the file; or L{IN_MEMORY} for a store that ends with the process.
        @param reactor: for time, which is that of the calendar; and to come back from the thread.
        @param worker: where to do the work; by default in a thread of the store's own.
        @raise StoreInUse: (as a failure) if another process has it open.
        @raise StoreUnavailable: (as a failure) if it cannot be opened.
        """
        doer = worker or ThreadWorker(cast(IReactorFromThreads, reactor))

        def opened(database: Database) -> SqliteStore:
            store = cls(database, reactor, doer)
            store._arm(database.next_expiry)
            return store

        def failed(failure: Failure) -> Failure:
            doer.stop()
            return failure

        return doer.run(lambda: Database(fspath(path))).addCallbacks(opened, failed)

    def get(self, key: str) -> Deferred[Item | None]:
        """Read one document."""
        return self._run(lambda database: database.get(check_key(key)))

    def list(self, prefix: str) -> Deferred[Listing]:
        """Read all documents under a prefix."""
        return self._run(lambda database: database.listing(check_prefix(prefix)))

    def transact(
        self,
        compares: Sequence[Compare | PrefixUnchanged] = (),
        puts: Sequence[Put] = (),
        deletes: Sequence[str] = (),
    ) -> Deferred[int]:
        """Make all changes at once, or none."""

        def operation(database: Database) -> int:
            check_changes(puts, deletes)
            for compare in compares:
                if isinstance(compare, PrefixUnchanged):
                    check_prefix(compare.prefix)
            return database.transact(compares, puts, deletes)

        return self._run(operation)

    def watch(self, prefix: str, from_revision: int, callback: Callable[[Sequence[Event]], None]) -> Watch:
        """Tell every change under a prefix that came after a revision."""
        watch = _Watch(check_prefix(prefix), from_revision, callback)

        def started(answer: tuple[int, list[Event]]) -> None:
            revision, events = answer
            self._watches.append(watch)
            self._tell(lambda: self._tell_past(watch, revision, events))

        def refused(failure: Failure) -> None:
            reason = failure.value
            watch.lose(reason if isinstance(reason, StoreError) else StoreUnavailable(repr(reason)))

        self._run(lambda database: database.changes(prefix, from_revision)).addCallbacks(started, refused)
        return watch

    def lease(self, seconds: float) -> Deferred[int]:
        """Start a lease."""
        if not 0 < seconds < float("inf"):
            return fail(ValueError("a lease lasts some seconds"))
        now = self._clock.seconds()
        return self._run(lambda database: database.grant(seconds, now))

    def keep_alive(self, leases: Sequence[int]) -> Deferred[frozenset[int]]:
        """Let leases run for their full time again."""
        now = self._clock.seconds()
        return self._run(lambda database: database.keep_alive(leases, now))

    def revoke(self, lease: int) -> Deferred[None]:
        """End a lease now, with its documents."""
        return self._run(lambda database: database.revoke(lease))

    def close(self) -> Deferred[None]:
        """Finish what was begun, then let go of the file; watches are lost."""
        if self._is_closed:
            return succeed(None)
        self._is_closed = True
        if self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None

        def let_go(result: Failure | None) -> Failure | None:
            self._worker.stop()
            self._tell(self._lose_watches)
            return result

        return self._worker.run(self._database.close).addBoth(let_go)

    def _run(self, operation: Callable[[Database], _T]) -> Deferred[_T]:
        """
        Do an operation in the worker, after ending the leases that are due.

        The Deferred handed out can be cancelled; the operation's changes are
        told to watchers all the same.
        """
        if self._is_closed:
            return fail(StoreUnavailable("the store is closed"))
        now = self._clock.seconds()
        answer: Deferred[_T] = Deferred()

        def back(outcome: _Outcome[_T]) -> None:
            self._tell(lambda: self._tell_news(outcome.events))
            self._arm(outcome.next_expiry)
            answer.callback(outcome.result)  # a Failure takes the way of errors

        self._worker.run(lambda: self._work(operation, now)).addCallbacks(back, answer.errback)
        return answer

    def _work(self, operation: Callable[[Database], _T], now: float) -> _Outcome[_T]:
        result: _T | Failure
        try:
            self._database.expire(now)
            result = operation(self._database)
        except SqliteError as error:
            result = Failure(StoreUnavailable(f"the store's file fails: {error}"))
        except Exception:
            result = Failure()
        return _Outcome(result, self._database.take_events(), self._database.next_expiry)

    def _tell(self, message: Callable[[], None]) -> None:
        """One message after the other, even when a watcher changes the store while it is told."""
        self._telling.append(message)
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._telling:
                self._telling.popleft()()
        finally:
            self._is_telling = False

    def _tell_news(self, events: Sequence[Event]) -> None:
        if events:
            self._watches = [watch for watch in self._watches if not watch.is_stopped]
            for watch in self._watches:
                watch.tell(events)

    def _tell_past(self, watch: _Watch, revision: int, events: Sequence[Event]) -> None:
        watch.tell(events)
        watch.position = max(watch.position, revision)

    def _lose_watches(self) -> None:
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.lose(StoreUnavailable("the store was closed"))

    def _arm(self, next_expiry: float | None) -> None:
        """See to it that ended leases are told even if nobody asks for anything."""
        if next_expiry is None or self._is_closed:
            return
        delay = max(SHORTEST_SWEEP_INTERVAL, next_expiry - self._clock.seconds())
        self._arm_in(delay)

    def _arm_in(self, delay: float) -> None:
        due = self._clock.seconds() + delay
        if self._sweep_call is not None:
            if self._sweep_call.getTime() <= due:
                return
            self._sweep_call.cancel()
        self._sweep_call = self._clock.callLater(delay, self._sweep)

    def _sweep(self) -> None:
        self._sweep_call = None
        self._run(lambda database: None).addErrback(self._sweep_failed)

    def _sweep_failed(self, failure: Failure) -> None:
        if not self._is_closed:
            _log.error("ended leases could not be removed: {reason}", reason=failure.value, fault="operator")
            self._arm_in(_SWEEP_RETRY)
