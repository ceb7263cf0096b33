"""
The store's tables in one SQLite file: blocking, without any notion of threads.

The current documents are kept, and of deleted ones a bounded number of
tombstones. That is enough to tell a watcher what changed since a revision,
without keeping each value twice. For every folder the revision of its last
change is kept, so that "nothing changed under this prefix" can be told exactly
however long ago the question was prepared.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from appproxy.store.istore import (
    Compacted,
    Compare,
    Conflict,
    Event,
    Item,
    LeaseNotFound,
    Listing,
    PrefixUnchanged,
    Put,
    StoreInUse,
    StoreUnavailable,
)

IN_MEMORY: Final = ":memory:"

KEPT_TOMBSTONES: Final = 10_000
"""Deletions that a watch can still be told of. A watcher that was away for longer reads everything anew."""

_COMPACTION_INTERVAL: Final = 256
"""Revisions between two looks at the number of tombstones."""

_EXPIRED_AT_ONCE: Final = 500
"""Leases ended in one transaction: keeps each short after a long standstill."""

_WAL_SIZE_LIMIT: Final = 64 << 20
"""The log is cut back to this after a checkpoint, so that one large write does not keep its space."""

_APPLICATION_ID: Final = 0x41505031
"""Marks the file as ours ("APP1"): another program's database is never altered."""

_MIGRATIONS: Final = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('revision', 0), ('compacted', 0);
    CREATE TABLE leases (id INTEGER PRIMARY KEY AUTOINCREMENT, seconds REAL NOT NULL, expires REAL NOT NULL);
    CREATE INDEX leases_by_expiry ON leases (expires);
    CREATE TABLE items (
        key TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL,
        created INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        lease INTEGER REFERENCES leases (id)
    );
    CREATE INDEX items_by_revision ON items (revision);
    CREATE INDEX items_by_lease ON items (lease) WHERE lease IS NOT NULL;
    CREATE TABLE tombstones (key TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX tombstones_by_revision ON tombstones (revision);
    CREATE TABLE folders (prefix TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
    """,
)
"""One script for each step of C{PRAGMA user_version}; released ones never change."""

_ITEM: Final = "key, value, created, revision, lease"


class Database:
    """
    One open file, owned by this process alone.

    @ivar next_expiry: when the first lease ends, or L{None} if there is none.
    """

    def __init__(self, path: str) -> None:
        """
        @param path: the file, made if there is none; or L{IN_MEMORY}.
        @raise StoreInUse: if another process has it open.
        @raise StoreUnavailable: if it cannot be opened, or is not ours.
        """
        self._events: list[Event] = []
        self._lock = None if path == IN_MEMORY else _own(path)
        try:
            self._connection = _connect(path)
        except BaseException:
            self._release()
            raise
        self.next_expiry = self._first_expiry()

    def close(self) -> None:
        """Let go of the file."""
        try:
            self._connection.close()
        finally:
            self._release()

    def take_events(self) -> list[Event]:
        """What was changed (and is on the disk) since this was last asked."""
        events, self._events = self._events, []
        return events

    def get(self, key: str) -> Item | None:
        """Read one document."""
        row = self._connection.execute(f"SELECT {_ITEM} FROM items WHERE key = ?", (key,)).fetchone()
        return None if row is None else Item(*row)

    def listing(self, prefix: str) -> Listing:
        """Read all documents under a prefix."""
        rows = self._connection.execute(
            f"SELECT {_ITEM} FROM items WHERE key >= ? AND key < ? ORDER BY key", _range(prefix)
        )
        return Listing(self._meta("revision"), tuple(Item(*row) for row in rows))

    def changes(self, prefix: str, since: int) -> tuple[int, list[Event]]:
        """
        What changed under a prefix after a revision, and the present revision.

        @raise Compacted: if that is not known any more.
        """
        if since < self._meta("compacted"):
            raise Compacted(f"changes since revision {since} are no longer kept")
        parameters = (*_range(prefix), since)
        written = self._connection.execute(
            f"SELECT {_ITEM} FROM items WHERE key >= ? AND key < ? AND revision > ?", parameters
        )
        deleted = self._connection.execute(
            "SELECT key, revision FROM tombstones WHERE key >= ? AND key < ? AND revision > ?", parameters
        )
        events = [Event(row[0], row[3], Item(*row)) for row in written]
        events += [Event(key, revision, None) for key, revision in deleted]
        return self._meta("revision"), sorted(events, key=lambda event: (event.revision, event.key))

    def transact(
        self, compares: Sequence[Compare | PrefixUnchanged], puts: Sequence[Put], deletes: Sequence[str]
    ) -> int:
        """
        Make all changes, or none.

        @raise Conflict: if a comparison does not hold.
        @raise LeaseNotFound: if a lease is gone.
        """
        with self._transaction() as revision:
            conflicts = [_name(compare) for compare in compares if not self._holds(compare)]
            if conflicts:
                raise Conflict(conflicts)
            events = [self._put(put, revision) for put in puts]
            events += self._delete(deletes, revision)
            return self._commit(revision, events)

    def grant(self, seconds: float, now: float) -> int:
        """Start a lease."""
        expires = now + seconds
        with self._transaction():
            cursor = self._connection.execute(
                "INSERT INTO leases (seconds, expires) VALUES (?, ?)", (seconds, expires)
            )
        if self.next_expiry is None or expires < self.next_expiry:
            self.next_expiry = expires
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def keep_alive(self, leases: Sequence[int], now: float) -> frozenset[int]:
        """
        Let leases run for their full time again, in one transaction.

        @return: those that have ended.
        """
        ended = []
        with self._transaction():
            for lease in leases:
                if not self._connection.execute(
                    "UPDATE leases SET expires = ? + seconds WHERE id = ?", (now, lease)
                ).rowcount:
                    ended.append(lease)
        self.next_expiry = self._first_expiry()
        return frozenset(ended)

    def revoke(self, lease: int) -> None:
        """End a lease with its documents."""
        self._end_leases([lease])

    def expire(self, now: float) -> None:
        """End every lease whose time is over."""
        while self.next_expiry is not None and self.next_expiry <= now:
            due = self._connection.execute(
                "SELECT id FROM leases WHERE expires <= ? ORDER BY expires LIMIT ?", (now, _EXPIRED_AT_ONCE)
            )
            self._end_leases([lease for (lease,) in due])

    def _end_leases(self, leases: Sequence[int]) -> None:
        with self._transaction() as revision:
            keys: list[str] = []
            for lease in leases:
                found = self._connection.execute("SELECT key FROM items WHERE lease = ?", (lease,))
                keys.extend(key for (key,) in found)
            events = self._delete(keys, revision)
            self._connection.executemany("DELETE FROM leases WHERE id = ?", [(lease,) for lease in leases])
            self._commit(revision, events)
        self.next_expiry = self._first_expiry()

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        """What is done inside is done wholly or not at all; yields the revision that changes would have."""
        self._connection.execute("BEGIN IMMEDIATE")
        told = len(self._events)
        try:
            yield self._meta("revision") + 1
            self._connection.execute("COMMIT")
        except BaseException:
            del self._events[told:]
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _commit(self, revision: int, events: Sequence[Event]) -> int:
        if not events:
            return revision - 1
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (revision,))
        self._connection.executemany(
            "INSERT OR REPLACE INTO folders VALUES (?, ?)",
            {(_folder(event.key), revision) for event in events},
        )
        if revision % _COMPACTION_INTERVAL == 0:
            self._compact()
        self._events.extend(events)
        return revision

    def _compact(self) -> None:
        oldest = self._connection.execute(
            "SELECT revision FROM tombstones ORDER BY revision DESC LIMIT 1 OFFSET ?", (KEPT_TOMBSTONES,)
        ).fetchone()
        if oldest is not None:
            self._connection.execute("DELETE FROM tombstones WHERE revision <= ?", oldest)
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", oldest)

    def _holds(self, compare: Compare | PrefixUnchanged) -> bool:
        if isinstance(compare, Compare):
            query, parameters = "SELECT revision FROM items WHERE key = ?", (compare.key,)
            row = self._connection.execute(query, parameters).fetchone()
            return (0 if row is None else row[0]) == compare.revision
        (changed,) = self._connection.execute(
            "SELECT max(revision) FROM folders WHERE prefix >= ? AND prefix < ?", _range(compare.prefix)
        ).fetchone()
        return changed is None or changed <= compare.since_revision

    def _put(self, put: Put, revision: int) -> Event:
        lease = "SELECT 1 FROM leases WHERE id = ?"
        if put.lease is not None and not self._connection.execute(lease, (put.lease,)).fetchone():
            raise LeaseNotFound("the lease has ended")
        ((created,),) = self._connection.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " value = excluded.value, revision = excluded.revision, lease = excluded.lease RETURNING created",
            (put.key, put.value, revision, revision, put.lease),
        ).fetchall()
        self._connection.execute("DELETE FROM tombstones WHERE key = ?", (put.key,))
        return Event(put.key, revision, Item(put.key, put.value, created, revision, put.lease))

    def _delete(self, keys: Sequence[str], revision: int) -> list[Event]:
        events = []
        for key in keys:
            if self._connection.execute("DELETE FROM items WHERE key = ?", (key,)).rowcount:
                self._connection.execute("INSERT INTO tombstones VALUES (?, ?)", (key, revision))
                events.append(Event(key, revision, None))
        return events

    def _meta(self, name: str) -> int:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    def _first_expiry(self) -> float | None:
        (expires,) = self._connection.execute("SELECT min(expires) FROM leases").fetchone()
        return None if expires is None else float(expires)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _own(path: str) -> int:
    """Lock the file's companion for this process; the kernel unlocks it however the process ends."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened as a store: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise StoreInUse(f"{path} is open in another process (id {owner}); only one may own it") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


def _connect(path: str) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        if path != IN_MEMORY:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        _check_owner(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE_LIMIT}")
        _migrate(connection)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, (sqlite3.Error, OSError)):
            raise StoreUnavailable(f"{path} cannot be opened as a store: {error}") from error
        raise
    return connection


def _check_owner(connection: sqlite3.Connection, path: str) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != _APPLICATION_ID and (tables or version):
        raise StoreUnavailable(f"{path} is another program's database")
    if version > len(_MIGRATIONS):
        raise StoreUnavailable(f"{path} was written by a newer version of this program")


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this version, step by step, each wholly or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(_MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {number}; COMMIT;"
        )


def _range(prefix: str) -> tuple[str, str]:
    """The first key under a prefix, and the first one after all of them."""
    return prefix, prefix[:-1] + chr(ord("/") + 1)


def _folder(key: str) -> str:
    return key[: key.rindex("/") + 1]


def _name(compare: Compare | PrefixUnchanged) -> str:
    return compare.key if isinstance(compare, Compare) else compare.prefix
