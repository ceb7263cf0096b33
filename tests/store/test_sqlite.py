"""
Tests of L{appproxy.store.sqlite}.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from appproxy.store import database as database_module
from appproxy.store import worker as worker_module
from appproxy.store.database import Database
from appproxy.store.istore import (
    Compacted,
    Event,
    IStore,
    Put,
    StoreError,
    StoreInUse,
    StoreUnavailable,
)
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker, ThreadWorker
from tests.store.contract import StoreContract
from tests.store.support import ThreadedClock, memory_store


class InlineSqliteTests(StoreContract, TestCase):
    """The contract, with each job done at once."""

    def setUp(self) -> None:
        """An empty store in memory."""
        self.clock = Clock()
        self.store: IStore = memory_store(self.clock)
        self.addCleanup(self.store.close)

    async def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.clock.advance(seconds)


class ThreadedSqliteTests(StoreContract, TestCase):
    """The contract, with a file and the store's own thread."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        """An empty store in a file; trial waits for it."""
        self.clock = ThreadedClock(cast(IReactorFromThreads, reactor))
        return SqliteStore.open(self.mktemp(), self.clock).addCallback(self.opened)

    def opened(self, store: SqliteStore) -> None:
        """Use a store until the end of the test."""
        self.store: IStore = store
        self.addCleanup(store.close)

    async def advance(self, seconds: float) -> None:
        """Move the clock, and wait for the sweep that this may have begun."""
        self.clock.advance(seconds)
        await self.settle()

    async def settle(self) -> None:
        """The thread does one job after the other: once one is back, those before it are."""
        await self.store.list("/")


class ThreadTests(TestCase):
    """The store's thread."""

    async def test_not_in_the_reactor(self) -> None:
        """One thread does all the work, and it is not the reactor's; answers come back in the reactor's."""
        worker = ThreadWorker(cast(IReactorFromThreads, reactor))
        self.addCleanup(worker.stop)
        threads = {await worker.run(threading.get_ident) for _ in range(5)}
        self.assertEqual(len(threads), 1)
        self.assertNotIn(threading.get_ident(), threads)

    async def test_exceptions_come_back(self) -> None:
        """What a job raises is its Deferred's failure."""
        worker = ThreadWorker(cast(IReactorFromThreads, reactor))
        self.addCleanup(worker.stop)
        with self.assertRaises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)

    async def test_bounded(self) -> None:
        """When too much waits, the next operation fails at once instead of waiting too."""
        self.patch(worker_module, "MAXIMUM_PENDING", 2)
        worker = ThreadWorker(cast(IReactorFromThreads, reactor))
        self.addCleanup(worker.stop)
        gate = threading.Event()
        waiting: list[Deferred[object]] = [worker.run(gate.wait), worker.run(lambda: None)]
        refused = worker.run(lambda: None)
        self.failureResultOf(refused, StoreUnavailable)
        gate.set()
        for each in waiting:
            await each
        await worker.run(lambda: None)


class OpenTests(SynchronousTestCase):
    """Opening a file."""

    def setUp(self) -> None:
        """A path in a folder that is there."""
        self.path = self.mktemp()
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()

    def open(self) -> Deferred[SqliteStore]:
        """Open the store at the path."""
        return SqliteStore.open(self.path, self.clock, InlineWorker())

    def test_second_opener(self) -> None:
        """A second opener is told which process owns the store; after closing he may have it."""
        store = self.successResultOf(self.open())
        failure = self.failureResultOf(self.open(), StoreInUse)
        self.assertIn(str(os.getpid()), str(failure.value))
        self.assertIn(self.path, str(failure.value))
        self.successResultOf(store.close())
        self.successResultOf(self.successResultOf(self.open()).close())

    def test_kept(self) -> None:
        """Documents, revisions, leases and what was deleted outlive the process."""
        store = self.successResultOf(self.open())
        lease = self.successResultOf(store.lease(100))
        self.successResultOf(store.transact(puts=[Put("/a/x", b"1", lease), Put("/a/y", b"2")]))
        self.successResultOf(store.transact(deletes=["/a/y"]))
        before = self.successResultOf(store.list("/"))
        self.successResultOf(store.close())
        self.clock.advance(50)
        store = self.successResultOf(self.open())
        self.assertEqual(self.successResultOf(store.list("/")), before)
        told: list[Event] = []
        store.watch("/a/", 1, told.extend)
        self.assertEqual([(event.key, event.item) for event in told], [("/a/y", None)])
        self.clock.advance(51)
        self.assertEqual([(event.key, event.item) for event in told], [("/a/y", None), ("/a/x", None)])
        self.successResultOf(store.close())

    def test_ended_while_away(self) -> None:
        """A lease that ended while no process ran is over at once when one does."""
        store = self.successResultOf(self.open())
        lease = self.successResultOf(store.lease(100))
        self.successResultOf(store.transact(puts=[Put("/a/x", b"1", lease)]))
        self.successResultOf(store.close())
        self.clock.advance(1000)
        store = self.successResultOf(self.open())
        self.assertIsNone(self.successResultOf(store.get("/a/x")))
        self.successResultOf(store.close())

    def test_private(self) -> None:
        """Nobody but its owner can read any of the store's files."""
        store = self.successResultOf(self.open())
        self.successResultOf(store.transact(puts=[Put("/a/x", b"1")]))
        folder = Path(self.path).parent
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.glob(Path(self.path).name + "*")}
        self.assertEqual(modes, {0o600})
        self.successResultOf(store.close())

    def test_no_folder(self) -> None:
        """A path that cannot be is an error that names it."""
        self.path = "/nowhere/at/all/store.sqlite3"
        failure = self.failureResultOf(self.open(), StoreUnavailable)
        self.assertIn(self.path, str(failure.value))

    def test_damaged(self) -> None:
        """A file that is no database is refused, is left alone, and can be opened once it is gone."""
        Path(self.path).write_bytes(b"not a database at all" * 1000)
        self.failureResultOf(self.open(), StoreUnavailable)
        self.assertEqual(Path(self.path).read_bytes(), b"not a database at all" * 1000)
        Path(self.path).unlink()
        self.successResultOf(self.successResultOf(self.open()).close())

    def test_foreign(self) -> None:
        """Another program's database is refused and not altered."""
        connection = sqlite3.connect(self.path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        connection.close()
        before = Path(self.path).read_bytes()
        failure = self.failureResultOf(self.open(), StoreUnavailable)
        self.assertIn("another program", str(failure.value))
        self.assertEqual(Path(self.path).read_bytes(), before)

    def test_newer(self) -> None:
        """A store that a newer version wrote is refused."""
        self.successResultOf(self.successResultOf(self.open()).close())
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
        connection.close()
        failure = self.failureResultOf(self.open(), StoreUnavailable)
        self.assertIn("newer", str(failure.value))

    def test_write_fails(self) -> None:
        """A file that cannot be written makes operations fail, not the process; nothing is half done."""
        store = self.successResultOf(self.open())
        self.successResultOf(store.transact(puts=[Put("/a/x", b"1")]))
        store._database._connection.execute("PRAGMA query_only = ON")
        told: list[Event] = []
        store.watch("/a/", 1, told.extend)
        self.failureResultOf(store.transact(puts=[Put("/a/x", b"2")]), StoreUnavailable)
        store._database._connection.execute("PRAGMA query_only = OFF")
        self.assertEqual(self.successResultOf(store.transact(puts=[Put("/a/x", b"3")])), 2)
        self.assertEqual([event.item and event.item.value for event in told], [b"3"])
        self.successResultOf(store.close())


class SweepTests(SynchronousTestCase):
    """Ended leases that nobody asks for."""

    def setUp(self) -> None:
        """A store in memory."""
        self.clock = Clock()
        self.store = memory_store(self.clock)

    def test_no_timer_without_leases(self) -> None:
        """A store without leases waits for nothing."""
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer(self) -> None:
        """However many leases there are, one timer waits, for the first of them."""
        for seconds in (50, 10, 30):
            self.successResultOf(self.store.lease(seconds))
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [10])
        self.successResultOf(self.store.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failing_disk(self) -> None:
        """When ended leases cannot be removed, that is logged and tried again."""
        lease = self.successResultOf(self.store.lease(10))
        self.successResultOf(self.store.transact(puts=[Put("/a/x", b"", lease)]))
        told: list[Event] = []
        self.store.watch("/a/", 1, told.extend)
        self.store._database._connection.execute("PRAGMA query_only = ON")
        self.clock.advance(11)
        self.assertEqual(told, [])
        self.store._database._connection.execute("PRAGMA query_only = OFF")
        self.clock.advance(5)
        self.assertEqual([event.key for event in told], ["/a/x"])

    def test_very_many(self) -> None:
        """Any number of leases that end together end."""
        self.patch(database_module, "_EXPIRED_AT_ONCE", 3)
        for number in range(10):
            lease = self.successResultOf(self.store.lease(10))
            self.successResultOf(self.store.transact(puts=[Put(f"/a/{number}", b"", lease)]))
        self.clock.advance(11)
        self.assertEqual(self.successResultOf(self.store.list("/")).items, ())


class CompactionTests(SynchronousTestCase):
    """What is remembered of the past."""

    def test_bounded(self) -> None:
        """Of deletions only so many are remembered; an older watch learns that it has to read anew."""
        self.patch(database_module, "KEPT_TOMBSTONES", 10)
        self.patch(database_module, "_COMPACTION_INTERVAL", 16)
        store = memory_store(Clock())
        for number in range(50):
            self.successResultOf(store.transact(puts=[Put(f"/a/{number}", b"")]))
            self.successResultOf(store.transact(deletes=[f"/a/{number}"]))
        ((kept,),) = store._database._connection.execute("SELECT count(*) FROM tombstones").fetchall()
        self.assertLessEqual(kept, 10 + 16)
        lost: list[StoreError] = []
        store.watch("/a/", 1, lambda events: self.fail("told")).lost.addCallback(lost.append)
        self.assertIsInstance(lost[0], Compacted)
        recent = self.successResultOf(store.list("/")).revision
        told: list[Event] = []
        store.watch("/a/", recent - 4, told.extend)
        self.assertEqual([event.key for event in told], ["/a/48", "/a/49"])


_KEYS = st.sampled_from(["/a/1", "/a/2", "/a/b/3", "/c/4"])
_CHANGES = st.lists(
    st.dictionaries(_KEYS, st.one_of(st.none(), st.binary(max_size=3)), min_size=1), max_size=12
)


class HistoryTests(SynchronousTestCase):
    """The store against a dictionary."""

    @settings(max_examples=60, deadline=None)
    @given(_CHANGES)
    def test_replay(self, changes: list[dict[str, bytes | None]]) -> None:
        """From whatever revision one watches, what is told leads to the present state, live or not."""
        database = Database(IN_MEMORY)
        states: list[dict[str, bytes]] = [{}]
        for change in changes:
            puts = [Put(key, value) for key, value in change.items() if value is not None]
            deletes = [key for key, value in change.items() if value is None]
            if database.transact([], puts, deletes) == len(states):
                state = {key: value for key, value in states[-1].items() if key not in deletes}
                states.append(state | {put.key: put.value for put in puts})
        self.assertEqual({item.key: item.value for item in database.listing("/").items}, states[-1])
        live = database.take_events()
        for revision, state in enumerate(states):
            _, replayed = database.changes("/", revision)
            followed = [event for event in live if event.revision > revision]
            for events in (replayed, followed):
                self.assertEqual(_after(state, events), states[-1])
        database.close()


def _after(state: dict[str, bytes], events: list[Event]) -> dict[str, bytes]:
    changed = dict(state)
    for event in events:
        if event.item is None:
            changed.pop(event.key, None)
        else:
            changed[event.key] = event.item.value
    return changed
