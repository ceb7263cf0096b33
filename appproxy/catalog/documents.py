"""
How applications and connector groups stand in the store: one JSON document
each, under its own key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from pydantic import ValidationError

from appproxy.model.application import Application, ConnectorGroup
from appproxy.store.keys import (
    APPLICATIONS,
    CONNECTOR_GROUPS,
    BadDocument,
    decode_document,
    encode_document,
)

Kind = Literal["application", "connector_group"]
Entry = Application | ConnectorGroup

_FOLDERS: Final[dict[Kind, str]] = {
    "application": APPLICATIONS,
    "connector_group": CONNECTOR_GROUPS,
}
_MODELS: Final[dict[Kind, type[Application] | type[ConnectorGroup]]] = {
    "application": Application,
    "connector_group": ConnectorGroup,
}


class UnreadableDocument(ValueError):
    """A stored document that this version cannot read."""


class Entries(Protocol):
    """Whatever holds a set of applications and groups: a document, a catalog."""

    @property
    def applications(self) -> Mapping[str, Application]:
        """By id."""

    @property
    def groups(self) -> Mapping[str, ConnectorGroup]:
        """By id."""


@dataclass(frozen=True)
class Document:
    """What one or several files ask for."""

    applications: Mapping[str, Application] = field(default_factory=dict)
    groups: Mapping[str, ConnectorGroup] = field(default_factory=dict)


def key_of(kind: Kind, entry_id: str) -> str:
    """The key that an object stands under in the store."""
    return _FOLDERS[kind] + entry_id


def split_key(key: str) -> tuple[Kind, str]:
    """
    The reverse of L{key_of}.

    @raise UnreadableDocument: if the key is none of the catalog's.
    """
    for kind, folder in _FOLDERS.items():
        if key.startswith(folder):
            return kind, key[len(folder) :]
    raise UnreadableDocument(f"{key} is no key of the catalog")


def encode(entry: Entry) -> bytes:
    """
    Canonical JSON with every setting, defaults too: what was published keeps its
    meaning when a later version changes a default.
    """
    return encode_document(entry.model_dump(mode="json", exclude_none=True))


def decode(key: str, value: bytes) -> tuple[Kind, str, Entry]:
    """
    The reverse of L{key_of} and L{encode}.

    @raise UnreadableDocument: if key, version or content are not understood.
    """
    kind, entry_id = split_key(key)
    try:
        return kind, entry_id, _MODELS[kind].model_validate(decode_document(value))
    except BadDocument as error:
        raise UnreadableDocument(str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnreadableDocument(f"{place}: {first['msg']}") from error


def digest(entry: Entry | None) -> str:
    """SHA-256 of the stored form, in hex, for the audit log; empty for none."""
    return "" if entry is None else hashlib.sha256(encode(entry)).hexdigest()
