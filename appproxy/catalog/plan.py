"""
What has to change so that the catalog becomes what a file asks for: pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from appproxy.catalog.documents import Document, Entries, Entry, Kind, digest, key_of

Action = Literal["create", "update", "delete"]

_SETTINGS_ONLY_WRITTEN: Final[dict[str, Any]] = {
    "mode": "json",
    "exclude_defaults": True,
    "exclude_none": True,
}


@dataclass(frozen=True)
class Change:
    """
    One object that is made, changed or removed.

    @ivar before: as it is; L{None} if it is made.
    @ivar after: as it will be; L{None} if it is removed.
    """

    kind: Kind
    id: str
    before: Entry | None
    after: Entry | None

    @property
    def action(self) -> Action:
        """What happens to the object."""
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def key(self) -> str:
        """Its key in the store."""
        return key_of(self.kind, self.id)

    def settings(self) -> Iterator[tuple[str, object, object]]:
        """Each setting that becomes another: name, before, after; L{None} stands for the default."""
        before, after = _settings(self.before), _settings(self.after)
        for name in dict.fromkeys((*before, *after)):
            if before.get(name) != after.get(name):
                yield name, before.get(name), after.get(name)

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "action": self.action,
            "kind": self.kind,
            "id": self.id,
            "settings": [
                {"setting": name, "before": before, "after": after} for name, before, after in self.settings()
            ],
            "before_hash": digest(self.before),
            "after_hash": digest(self.after),
        }


def plan(current: Entries, document: Document, prune: bool) -> list[Change]:
    """
    The changes that lead from one to the other, sorted; none if nothing is to do.

    @param prune: whether what the document does not name is removed.
    """
    return [
        *_changes("connector_group", current.groups, document.groups, prune),
        *_changes("application", current.applications, document.applications, prune),
    ]


def _changes(
    kind: Kind, current: Mapping[str, Entry], wanted: Mapping[str, Entry], prune: bool
) -> Iterator[Change]:
    for entry_id in sorted(current.keys() | wanted.keys()):
        before, after = current.get(entry_id), wanted.get(entry_id)
        if before != after and (after is not None or prune):
            yield Change(kind, entry_id, before, after)


def _settings(entry: Entry | None) -> dict[str, object]:
    if entry is None:
        return {}
    flat: dict[str, object] = {}
    _flatten(entry.model_dump(**_SETTINGS_ONLY_WRITTEN), "", flat)
    return flat


def _flatten(plain: Mapping[str, Any], prefix: str, into: dict[str, object]) -> None:
    for key, value in plain.items():
        if isinstance(value, Mapping):
            _flatten(value, f"{prefix}{key}.", into)
        else:
            into[f"{prefix}{key}"] = value
