"""
What no single object can know: that names and addresses are unique and that
groups exist. Looks at the written values, so that an object that is wrong
elsewhere takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appproxy.catalog.documents import Entries, Kind
from appproxy.model.problems import KeyPath, Problem, TomlDocument, format_key_path, suggestion
from appproxy.model.web_address import WebAddress, parse_web_address


@dataclass(frozen=True)
class FileEntry:
    """
    One object as a file writes it, perhaps wrong.

    @ivar path: where its table stands in the document.
    """

    kind: Kind
    id: str
    table: Mapping[str, Any]
    document: TomlDocument
    path: KeyPath

    def problem(self, setting: str, message: str) -> Problem:
        """A problem at one of its settings, or with an empty one at the table itself."""
        return self.document.problem((*self.path, setting) if setting else self.path, message)

    def text(self, setting: str) -> str | None:
        """A setting's text, if it is one."""
        value = self.table.get(setting)
        return value if isinstance(value, str) else None

    @property
    def place(self) -> str:
        """Where another object's problem finds it: C{applications.wiki (apps.toml:12)}."""
        line = self.document.line_of(self.path)
        file = self.document.name if line is None else f"{self.document.name}:{line}"
        return f"{format_key_path(self.path)} ({file})"


@dataclass(frozen=True)
class _Holder:
    """Who has a name or an address: where it is told, and the address."""

    place: str
    address: WebAddress | None = None


def cross_check(entries: Sequence[FileEntry], beside: Entries, own_hosts: Collection[str]) -> list[Problem]:
    """
    Every clash among the objects of some files, and with what stays beside them.

    @param beside: objects that exist already; one of the same kind and id is replaced.
    @param own_hosts: hosts of the edge itself.
    """
    once = list(_first_of_each(entries))
    return [
        *_repeated(entries),
        *_unknown_groups(once, beside),
        *_same_names(once, "application", {key: value.name for key, value in beside.applications.items()}),
        *_same_names(once, "connector_group", {key: value.name for key, value in beside.groups.items()}),
        *_same_addresses(once, beside),
        *_own_addresses(once, own_hosts),
    ]


def _first_of_each(entries: Iterable[FileEntry]) -> Iterator[FileEntry]:
    seen: set[tuple[Kind, str]] = set()
    for entry in entries:
        if (entry.kind, entry.id) not in seen:
            seen.add((entry.kind, entry.id))
            yield entry


def _repeated(entries: Iterable[FileEntry]) -> Iterator[Problem]:
    first: dict[tuple[Kind, str], FileEntry] = {}
    for entry in entries:
        other = first.setdefault((entry.kind, entry.id), entry)
        if other is not entry:
            yield entry.problem("", f"is written twice; the other one is {other.place}")


def _unknown_groups(entries: Sequence[FileEntry], beside: Entries) -> Iterator[Problem]:
    known = {entry.id for entry in entries if entry.kind == "connector_group"} | set(beside.groups)
    for entry in entries:
        group = entry.text("connector_group") if entry.kind == "application" else None
        if group is not None and group not in known:
            hint = suggestion(group, known) or f"; add [connector_groups.{format_key_path([group])}]"
            yield entry.problem("connector_group", f'there is no connector group "{group}"{hint}')


def _same_names(entries: Sequence[FileEntry], kind: Kind, beside: Mapping[str, str]) -> Iterator[Problem]:
    written = [entry for entry in entries if entry.kind == kind]
    replaced = {entry.id for entry in written}
    holders = {
        name.casefold(): _Holder(f"{entry_id}, which exists already")
        for entry_id, name in beside.items()
        if entry_id not in replaced
    }
    for entry in written:
        name = entry.text("name")
        if not name:
            continue
        holder = holders.setdefault(name.casefold(), _Holder(entry.place))
        if holder.place != entry.place:
            yield entry.problem("name", f'"{name}" is also the name of {holder.place}')


def _same_addresses(entries: Sequence[FileEntry], beside: Entries) -> Iterator[Problem]:
    """
    Requests are routed by host and path: an address has one owner, and a host one
    scheme and port.
    """
    written = [entry for entry in entries if entry.kind == "application"]
    replaced = {entry.id for entry in written}
    addresses: dict[tuple[str, str], _Holder] = {}
    hosts: dict[str, _Holder] = {}

    def clash(holder: _Holder, address: WebAddress) -> str | None:
        other = addresses.setdefault((address.host, address.path), holder)
        if other is not holder:
            return f"{address} is also the address of {other.place}"
        other = hosts.setdefault(address.host, holder)
        if other.address is not None and other.address.origin != address.origin:
            return f"a host has one scheme and port, and {other.place} has {other.address.origin}"
        return None

    for key, application in beside.applications.items():
        if key not in replaced:
            clash(_Holder(f"{key}, which exists already", application.external_url), application.external_url)
    yield from _each_address(written, lambda entry, address: clash(_Holder(entry.place, address), address))


def _own_addresses(entries: Sequence[FileEntry], own_hosts: Collection[str]) -> Iterator[Problem]:
    def clash(_entry: FileEntry, address: WebAddress) -> str | None:
        return f"{address.host} is a host of the edge itself" if address.host in own_hosts else None

    yield from _each_address([entry for entry in entries if entry.kind == "application"], clash)


def _each_address(
    entries: Iterable[FileEntry], judge: Callable[[FileEntry, WebAddress], str | None]
) -> Iterator[Problem]:
    for entry in entries:
        address = _address(entry)
        message = judge(entry, address) if address is not None else None
        if message:
            yield entry.problem("external_url", message)


def _address(entry: FileEntry) -> WebAddress | None:
    try:
        return parse_web_address(entry.text("external_url") or "")
    except ValueError:
        return None
