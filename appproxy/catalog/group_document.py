"""
What the connectors of one group are told, as the bytes of a CONFIG frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from appproxy.model.application import Backend


class GroupDocument(NamedTuple):
    """
    What a relay told.

    @ivar unreadable: for each application that this version cannot serve (a newer edge may
        write what an older connector does not know): why. The others are none the worse for it.
    @ivar roots: what it says of the CA's roots, not looked at here; L{None} if it says nothing.
    """

    backends: tuple[Backend, ...]
    unreadable: Mapping[str, str]
    roots: object = None


def write_group(backends: Iterable[Backend], roots: Sequence[Mapping[str, str]] = ()) -> bytes:
    """
    The applications of a group as JSON.

    @param roots: of the CA (C{docs/tunnel.md}, section 15); none to say nothing of them.
    """
    document: dict[str, object] = {"applications": [backend.model_dump(mode="json") for backend in backends]}
    if roots:
        document["roots"] = list(roots)
    return json.dumps(document, separators=(",", ":")).encode()


def read_group(payload: bytes) -> GroupDocument:
    """
    The reverse of L{write_group}.

    @raise ValueError: if it is not what a relay sends.
    """
    try:
        document = json.loads(payload)
        entries = {str(each["id"]): each for each in document["applications"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("the catalog that came through the tunnel is not valid") from error
    backends = []
    unreadable = {}
    for application_id, entry in entries.items():
        try:
            backends.append(Backend.model_validate(entry))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            unreadable[application_id] = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return GroupDocument(tuple(backends), unreadable, document.get("roots"))
