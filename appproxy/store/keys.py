"""
The names of what is kept in the store, and how its documents are written.

Every value is a JSON object with C{"v": 1}; some are sealed besides, some
are leased (interface: store keys).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

ROOT: Final = "/appproxy/1/"
CATALOG: Final = ROOT + "catalog/"
APPLICATIONS: Final = CATALOG + "applications/"
CONNECTOR_GROUPS: Final = CATALOG + "connector-groups/"
CONNECTORS: Final = ROOT + "connectors/"
JOIN_TOKENS: Final = ROOT + "join-tokens/"
AUTHORITIES: Final = ROOT + "pki/ca/"
COOKIE_KEYS: Final = ROOT + "keys/cookie/"
SESSIONS: Final = ROOT + "sessions/"
SPENT: Final = ROOT + "spent/"
PRESENCE: Final = ROOT + "presence/"

VERSION: Final = 1


class BadDocument(ValueError):
    """A value of the store is not what this version writes."""


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Canonical JSON of a document, with its version."""
    return json.dumps(
        {"v": VERSION, **document}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def decode_document(value: bytes) -> dict[str, Any]:
    """
    The reverse of L{encode_document}; the version is checked and left out.

    @raise BadDocument: if this is none, or one of a version not known here.
    """
    try:
        document = json.loads(value)
    except ValueError as error:
        raise BadDocument("a stored document is not JSON") from error
    if not isinstance(document, dict) or document.pop("v", None) != VERSION:
        raise BadDocument(f"a stored document is not of version {VERSION}")
    return document
