"""
What every store offers: small documents under revisions, with the semantics
of etcd (compare-and-set, watch by prefix, leases).

A key is a path of printable ASCII that begins with C{/}; a prefix ends with
C{/}. Every change has a revision; revisions only grow, and all changes of one
transaction share one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

MAXIMUM_KEY_LENGTH: Final = 512
"""Ids and hashes fit many times over, and an index page stays small."""

MAXIMUM_VALUE_SIZE: Final = 1 << 20
"""Below etcd's limit for a whole request (1.5 MiB), so that documents can move there."""

MAXIMUM_CHANGES: Final = 10_000
"""Changes in one transaction: a large catalog at once, yet bounded memory."""

_KEY: Final = re.compile(r"(?:/[!-.0-~]+)+\Z")
_PREFIX: Final = re.compile(r"/(?:[!-.0-~]+/)*\Z")


class StoreError(Exception):
    """Anything that a store refuses or fails at."""


class StoreUnavailable(StoreError):
    """The store cannot answer now: away, closed, overloaded or broken."""


class StoreInUse(StoreUnavailable):
    """Another process owns the store."""


class LeaseNotFound(StoreError):
    """The lease expired or never was."""


class Compacted(StoreError):
    """The history asked for is no longer kept: list again, then watch from there."""


class Conflict(StoreError):
    """
    A comparison did not hold; nothing was changed.

    @ivar keys: the keys and prefixes that were not as expected.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(f"changed meanwhile: {', '.join(keys)}")
        self.keys = tuple(keys)


@dataclass(frozen=True, slots=True)
class Item:
    """
    One document.

    @ivar created: the revision at which the key came into being.
    @ivar revision: the revision of its last change.
    @ivar lease: the lease that it lives and ends with, or L{None}.
    """

    key: str
    value: bytes
    created: int
    revision: int
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """
    All documents under a prefix, as they were at one revision.

    @ivar revision: the store's revision; watch from it to miss nothing.
    """

    revision: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """
    One change.

    @ivar item: the document as it is now, or L{None} if it was deleted.
    """

    key: str
    revision: int
    item: Item | None


@dataclass(frozen=True, slots=True)
class Compare:
    """
    Holds while the key was last changed at this revision; 0 means it is absent.
    """

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class PrefixUnchanged:
    """
    Holds while nothing under the prefix was written or deleted after a revision.
    """

    prefix: str
    since_revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """
    Write a document. Without a lease it stays, even if it had one before.
    """

    key: str
    value: bytes
    lease: int | None = None


class Watch(Protocol):
    """
    A standing order for changes.

    @ivar lost: fires (never fails) with the reason when changes can no longer
        be told; after that nothing known by this watch is to be trusted. It
        does not fire after L{stop}.
    """

    @property
    def lost(self) -> Deferred[StoreError]:
        """Fires with the reason once changes can no longer be told."""

    def stop(self) -> None:
        """Tell no more changes."""


class IStore(Protocol):
    """
    The store. Every L{Deferred} may fail with L{StoreUnavailable}.

    Watches are told of a change before the Deferred of the transaction that
    made it fires.
    """

    def get(self, key: str) -> Deferred[Item | None]:
        """Read one document."""

    def list(self, prefix: str) -> Deferred[Listing]:
        """Read all documents under a prefix, in the order of their keys."""

    def transact(
        self,
        compares: Sequence[Compare | PrefixUnchanged] = (),
        puts: Sequence[Put] = (),
        deletes: Sequence[str] = (),
    ) -> Deferred[int]:
        """
        Make all changes at once, or none.

        Deleting an absent key changes nothing.

        @return: the revision of the changes; the store's present one if there were none.
        @raise Conflict: (as a failure) if a comparison does not hold.
        @raise LeaseNotFound: (as a failure) if a lease of C{puts} is gone.
        @raise ValueError: (as a failure) if a key stands in it twice or breaks the rules of keys.
        """

    def watch(self, prefix: str, from_revision: int, callback: Callable[[Sequence[Event]], None]) -> Watch:
        """
        Tell every change under a prefix that came after a revision.

        Events come in the order of revisions; those of one revision come in
        one call. Where several changes of a key lie in the past already, the
        last of them may stand for all. C{lost} fires with L{Compacted} if the
        past is no longer known.

        @param from_revision: the revision of the L{Listing} that is known already.
        """

    def lease(self, seconds: float) -> Deferred[int]:
        """Start a lease. When it ends, so do the documents that were put with it."""

    def keep_alive(self, leases: Sequence[int]) -> Deferred[frozenset[int]]:
        """
        Let leases run for their full time again.

        @return: those that have ended.
        """

    def revoke(self, lease: int) -> Deferred[None]:
        """End a lease now, with its documents. One that has ended already is no error."""

    def close(self) -> Deferred[None]:
        """Finish what was begun, then let go of the store; watches are lost."""


def check_key(key: str) -> str:
    """
    @return: the key itself.
    @raise ValueError: if it breaks the rules of keys.
    """
    if len(key) > MAXIMUM_KEY_LENGTH or not _KEY.match(key):
        raise ValueError("a store key is a path of printable ASCII such as /a/b")
    return key


def check_prefix(prefix: str) -> str:
    """
    @return: the prefix itself.
    @raise ValueError: if it breaks the rules of prefixes.
    """
    if len(prefix) > MAXIMUM_KEY_LENGTH or not _PREFIX.match(prefix):
        raise ValueError("a store prefix is a path such as /a/b/ and ends in a slash")
    return prefix


def check_changes(puts: Sequence[Put], deletes: Sequence[str]) -> None:
    """
    @raise ValueError: if the changes of one transaction break a rule.
    """
    keys = [put.key for put in puts] + list(deletes)
    if len(keys) > MAXIMUM_CHANGES:
        raise ValueError(f"a transaction has at most {MAXIMUM_CHANGES} changes")
    if len(set(keys)) != len(keys):
        raise ValueError("a transaction changes a key only once")
    for key in keys:
        check_key(key)
    if any(len(put.value) > MAXIMUM_VALUE_SIZE for put in puts):
        raise ValueError(f"a stored value has at most {MAXIMUM_VALUE_SIZE} bytes")
