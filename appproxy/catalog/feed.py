"""
The catalog and the registry of connectors, kept current from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

from pydantic import ValidationError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.catalog.documents import Entry, Kind, UnreadableDocument, decode
from appproxy.catalog.snapshot import Catalog
from appproxy.model.application import Application, Connector, ConnectorGroup
from appproxy.store.follower import Follower
from appproxy.store.istore import Event, IStore, Item, Listing
from appproxy.store.keys import CATALOG, CONNECTORS, BadDocument, decode_document
from appproxy.store.listeners import Listeners

T = TypeVar("T")

Changes = Mapping[str, Item | None]
"""By key: the document as it is now, L{None} if it is gone."""

_log = Logger()


class _Feed(Generic[T]):
    """
    What stands under a prefix of the store, and everybody who wants to know of changes.

    @ivar current: what is there now; empty before the first read.
    """

    def __init__(self, store: IStore, clock: IReactorTime, prefix: str, empty: T) -> None:
        self.current = empty
        self._listeners: Listeners[T] = Listeners()
        self._follower = Follower(store, prefix, clock, self._read, self._changed)

    @property
    def is_ready(self) -> bool:
        """Whether everything was read and is followed."""
        return self._follower.in_step

    def start(self) -> Deferred[None]:
        """
        @return: fires once everything was read; keeps trying while the store is away.
        """
        return self._follower.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._follower.stop()

    def changed(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """
        Tell of each new state, after L{current} is that one.

        @return: call it to hear no more.
        """
        return self._listeners.add(callback)

    def _read(self, listing: Listing) -> None:
        """Begin anew with all that there is."""
        raise NotImplementedError

    def _changed(self, events: Sequence[Event]) -> None:
        self._update(events[-1].revision, {event.key: event.item for event in events})

    def _update(self, revision: int, changes: Changes) -> None:
        """Make L{current} what it is after these changes, and tell."""
        raise NotImplementedError


class CatalogFeed(_Feed[Catalog]):
    """The current catalog."""

    def __init__(self, store: IStore, clock: IReactorTime) -> None:
        """
        @param clock: for trying again while the store is away.
        """
        super().__init__(store, clock, CATALOG, Catalog())
        self._entries: dict[str, tuple[Kind, str, Entry]] = {}
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def reached(self, revision: int) -> Deferred[None]:
        """
        @return: fires once L{current} has this revision or a later one; may be cancelled.
        """
        if self.current.revision >= revision:
            return succeed(None)
        waiting: Deferred[None] = Deferred(lambda deferred: self._waiting.remove((revision, deferred)))
        self._waiting.append((revision, waiting))
        return waiting

    def _read(self, listing: Listing) -> None:
        self._entries = {}
        self._update(listing.revision, _items(listing))

    def _update(self, revision: int, changes: Changes) -> None:
        _update_entries(self._entries, changes)
        self.current = _snapshot(revision, self._entries, self.current)
        self._listeners.tell(self.current)
        there = [each for each in self._waiting if each[0] <= revision]
        self._waiting = [each for each in self._waiting if each[0] > revision]
        for _, waiting in there:
            waiting.callback(None)


class ConnectorFeed(_Feed[Mapping[str, Connector]]):
    """
    Every connector, edge and relay that enrolled, by id: who is missing here, or
    is revoked, is not to be trusted.

    @ivar revision: that of the store at which this was so.
    """

    def __init__(self, store: IStore, clock: IReactorTime) -> None:
        """
        @param clock: for trying again while the store is away.
        """
        super().__init__(store, clock, CONNECTORS, MappingProxyType({}))
        self.revision = 0
        self._known: dict[str, Connector] = {}

    def _read(self, listing: Listing) -> None:
        self._known = {}
        self._update(listing.revision, _items(listing))

    def _update(self, revision: int, changes: Changes) -> None:
        self.revision = revision
        for key, item in changes.items():
            connector_id = key.removeprefix(CONNECTORS)
            self._known.pop(connector_id, None)
            connector = None if item is None else read_connector(item)
            if connector is not None:
                self._known[connector_id] = connector
        self.current = MappingProxyType(dict(self._known))
        self._listeners.tell(self.current)


def read_catalog(store: IStore) -> Deferred[Catalog]:
    """The catalog as it is in the store now, which a feed may not have seen yet."""

    def read(listing: Listing) -> Catalog:
        entries: dict[str, tuple[Kind, str, Entry]] = {}
        _update_entries(entries, _items(listing))
        return _snapshot(listing.revision, entries, None)

    return store.list(CATALOG).addCallback(read)


def read_connector(item: Item) -> Connector | None:
    """A stored connector, or L{None} if it is unreadable: then nobody trusts it."""
    try:
        return Connector.model_validate(decode_document(item.value))
    except (BadDocument, ValidationError) as error:
        _unreadable(item.key, error)
        return None


def _items(listing: Listing) -> Changes:
    return {item.key: item for item in listing.items}


def _update_entries(entries: dict[str, tuple[Kind, str, Entry]], changes: Changes) -> None:
    """What cannot be read is left out, so that it is not served in a sense that nobody meant."""
    for key, item in changes.items():
        entries.pop(key, None)
        if item is not None:
            try:
                entries[key] = decode(key, item.value)
            except UnreadableDocument as error:
                _unreadable(key, error)


def _snapshot(
    revision: int, entries: Mapping[str, tuple[Kind, str, Entry]], previous: Catalog | None
) -> Catalog:
    applications: dict[str, Application] = {}
    groups: dict[str, ConnectorGroup] = {}
    for _, entry_id, entry in entries.values():
        if isinstance(entry, Application):
            applications[entry_id] = entry
        else:
            groups[entry_id] = entry
    return Catalog(revision, applications, groups, previous)


def _unreadable(key: str, error: Exception) -> None:
    _log.error("{key} cannot be read and is left out: {reason}", key=key, reason=str(error), fault="operator")
