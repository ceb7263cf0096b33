"""
The kinds of objects that can be listed, shown and deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from appproxy.admin.audit import audit
from appproxy.admin.errors import AdminError, bad_request, changed_meanwhile, not_found, refused
from appproxy.admin.live import LiveWatch, StatusSource
from appproxy.admin.peer import Peer
from appproxy.catalog.apply import apply
from appproxy.catalog.documents import Entry, Kind, digest
from appproxy.catalog.feed import read_catalog, read_connector
from appproxy.catalog.plan import Change
from appproxy.catalog.snapshot import Catalog
from appproxy.model.application import Application, Connector
from appproxy.pki.authority import Authority, put_connector
from appproxy.store.istore import Compare, Conflict, IStore, Item
from appproxy.store.keys import CONNECTORS

Row = Mapping[str, object]

MAXIMUM_LISTED: Final = 10_000
"""Objects in one answer: more than anybody reads, and a bounded answer."""


class Objects(Protocol):
    """One kind of objects. Failing is raising L{AdminError}."""

    async def list_all(self) -> Sequence[Row]:
        """All of them, in brief."""

    async def show(self, name: str) -> Row:
        """Everything of one, by id or name."""

    async def delete(self, name: str, peer: Peer) -> Row:
        """Remove one, by id or name."""


class CatalogObjects:
    """Applications, or connector groups."""

    def __init__(self, kind: Kind, store: IStore, live: LiveWatch) -> None:
        self._kind = kind
        self._store = store
        self._live = live

    async def list_all(self) -> list[Row]:
        """Id, name, and what tells an application from the others."""
        entries = self._entries(await read_catalog(self._store))
        return [{"id": key, **_brief(entry)} for key, entry in sorted(entries.items())[:MAXIMUM_LISTED]]

    async def show(self, name: str) -> Row:
        """Every setting."""
        entries = self._entries(await read_catalog(self._store))
        entry_id = self._find(name, entries)
        return {"id": entry_id, **entries[entry_id].model_dump(mode="json", exclude_none=True)}

    async def delete(self, name: str, peer: Peer) -> Row:
        """Remove one from the catalog, unless something needs it, and wait until that is in force."""
        began = self._live.now()
        catalog = await read_catalog(self._store)
        entries = self._entries(catalog)
        entry_id = self._find(name, entries)
        if self._kind == "connector_group":
            await self._check_unused(entry_id, catalog)
        change = Change(self._kind, entry_id, entries[entry_id], None)
        try:
            revision = await apply(self._store, [change], catalog.revision)
        except Conflict:
            raise changed_meanwhile() from None
        audit_change(peer, change, revision)
        live = await self._live.wait(revision, began)
        return {"id": entry_id, "revision": revision, **live.as_dict()}

    def _entries(self, catalog: Catalog) -> Mapping[str, Entry]:
        return catalog.applications if self._kind == "application" else catalog.groups

    def _find(self, name: str, entries: Mapping[str, Entry]) -> str:
        return find(self._kind.replace("_", " "), name, {key: each.name for key, each in entries.items()})

    async def _check_unused(self, group: str, catalog: Catalog) -> None:
        applications = sorted(catalog.applications.items())
        users = [f"application {key}" for key, each in applications if each.connector_group == group]
        connectors = await _read_connectors(self._store)
        users += [
            f"connector {each.name}" for _, each in connectors if each.group == group and not each.revoked_at
        ]
        if users:
            raise refused(f'the connector group "{group}" is used by {", ".join(users)}')


class ConnectorObjects:
    """Connectors, and the edges and relays that enrolled."""

    def __init__(self, store: IStore, source: StatusSource, authority: Authority) -> None:
        self._store = store
        self._source = source
        self._authority = authority

    async def list_all(self) -> list[Row]:
        """Who enrolled, and how many tunnels each has now."""
        counts = self._tunnel_counts()
        return [
            {
                "id": _id_of(item, CONNECTORS),
                "name": each.name,
                "role": each.role,
                "group": each.group,
                "tunnels": counts.get(_id_of(item, CONNECTORS), 0),
                "expires_at": each.expires_at,
                "revoked_at": each.revoked_at,
                "drained_at": each.drained_at,
            }
            for item, each in (await _read_connectors(self._store))[:MAXIMUM_LISTED]
        ]

    async def show(self, name: str) -> Row:
        """What is kept of one, and its tunnels."""
        item, connector = await self._find(name)
        connector_id = _id_of(item, CONNECTORS)
        tunnels = [dict(each) for each in self._source.tunnels() if each.get("connector") == connector_id]
        return {"id": connector_id, **connector.model_dump(mode="json"), "tunnels": tunnels}

    async def delete(self, name: str, peer: Peer) -> Row:
        """Forget one: its certificate is worth nothing from then on."""
        item, _ = await self._find(name)
        revision = await _delete(self._store, item)
        connector_id = _id_of(item, CONNECTORS)
        audit(peer, "delete", f"connectors/{connector_id}", revision)
        return {"id": connector_id, "revision": revision}

    async def revoke(self, name: str, peer: Peer) -> Row:
        """
        Trust one no more: its tunnels are closed, its certificate is worth nothing, and who it was
        and since when it is not trusted stays written down.
        """
        item, connector = await self._find(name)
        connector_id = _id_of(item, CONNECTORS)
        tunnels = self._tunnel_counts().get(connector_id, 0)
        await self._authority.revoke(connector_id)
        audit(peer, "revoke", f"connectors/{connector_id}", item.revision)
        return {"id": connector_id, "name": connector.name, "tunnels": tunnels}

    async def drain(self, name: str, peer: Peer, *, undo: bool = False) -> Row:
        """
        Give one no new streams, until that is undone; what is under way ends by itself.

        @param undo: give it streams again.
        """
        item, connector = await self._find(name)
        connector_id = _id_of(item, CONNECTORS)
        if connector.role != "connector":
            raise refused(f"{connector.name} is a {connector.role}: only connectors can be drained")
        drained_at = "" if undo else connector.drained_at or rfc3339(self._authority.clock.seconds())
        put = put_connector(connector_id, connector.model_copy(update={"drained_at": drained_at}))
        try:
            revision = await self._store.transact([Compare(item.key, item.revision)], [put])
        except Conflict:
            raise AdminError(409, "changed", "it has changed meanwhile; look again") from None
        audit(peer, "undrain" if undo else "drain", f"connectors/{connector_id}", revision)
        return {
            "id": connector_id,
            "name": connector.name,
            "group": connector.group,
            "drained_at": drained_at,
            "streams": self._streams_of(connector_id),
            "others": self._others(connector_id, connector.group),
        }

    def _streams_of(self, connector_id: str) -> int:
        tunnels = self._source.tunnels()
        return sum(int(str(each["streams"])) for each in tunnels if each.get("connector") == connector_id)

    def _others(self, connector_id: str, group: str) -> int:
        """How many other connectors of the group get streams."""
        return len(
            {
                each["connector"]
                for each in self._source.tunnels()
                if each.get("connector_group") == group
                and each.get("connector") != connector_id
                and not each.get("drained")
            }
        )

    def _tunnel_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for tunnel in self._source.tunnels():
            connector_id = str(tunnel.get("connector", ""))
            counts[connector_id] = counts.get(connector_id, 0) + 1
        return counts

    async def _find(self, name: str) -> tuple[Item, Connector]:
        there = {_id_of(item, CONNECTORS): (item, each) for item, each in await _read_connectors(self._store)}
        return there[find("connector", name, {key: each.name for key, (_, each) in there.items()})]


class CertificateObjects:
    """The certificates that browsers are shown: files, which are only looked at here."""

    def __init__(self, expiries: Callable[[], Mapping[str, datetime]]) -> None:
        """
        @param expiries: when each ends, by name.
        """
        self._expiries = expiries

    async def list_all(self) -> list[Row]:
        """Name and end of each."""
        return [{"name": name, "expires_at": rfc3339(end)} for name, end in sorted(self._expiries().items())]

    async def show(self, name: str) -> Row:
        """The same of one."""
        there = self._expiries()
        found = find("certificate", name, {each: each for each in there})
        return {"name": found, "expires_at": rfc3339(there[found])}

    async def delete(self, name: str, peer: Peer) -> Row:
        """Certificates are files: nothing to delete here."""
        raise refused("certificates are files; remove the file, and it is shown no longer")


def find(kind: str, name: str, names: Mapping[str, str]) -> str:
    """
    The id of what an administrator calls by id or name.

    @param names: by id.
    @raise AdminError: if there is none, or several.
    """
    if name in names:
        return name
    found = [key for key, each in names.items() if each.casefold() == name.casefold()]
    if len(found) > 1:
        raise bad_request(f'"{name}" is the name of {", ".join(sorted(found))}; give the id')
    if not found:
        raise not_found(kind, name, {*names, *names.values()})
    return found[0]


def audit_change(peer: Peer, change: Change, revision: int) -> None:
    """Write a catalog change's audit line."""
    folder = "applications" if change.kind == "application" else "connector-groups"
    before, after = digest(change.before), digest(change.after)
    audit(peer, change.action, f"{folder}/{change.id}", revision, before, after)


def rfc3339(moment: float | datetime) -> str:
    """A time in UTC, to the second."""
    at = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _brief(entry: Entry) -> Row:
    if not isinstance(entry, Application):
        return {"name": entry.name, "description": entry.description}
    return {
        "name": entry.name,
        "external_url": str(entry.external_url),
        "connector_group": entry.connector_group,
        "pre_authentication": entry.pre_authentication,
        "sso": entry.sso.mode,
    }


def _id_of(item: Item, prefix: str) -> str:
    return item.key.removeprefix(prefix)


async def _read_connectors(store: IStore) -> list[tuple[Item, Connector]]:
    listing = await store.list(CONNECTORS)
    read = ((item, read_connector(item)) for item in listing.items)
    return [(item, connector) for item, connector in read if connector is not None]


async def _delete(store: IStore, item: Item) -> int:
    try:
        return await store.transact(compares=[Compare(item.key, item.revision)], deletes=[item.key])
    except Conflict:
        raise AdminError(409, "changed", "it has changed meanwhile; look again") from None
