"""
What the connectors of one group are told, as the bytes of a CONFIG frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import ValidationError

from appproxy.model.application import Backend


def write_group(backends: Iterable[Backend]) -> bytes:
    """The applications of a group as JSON."""
    applications = [backend.model_dump(mode="json") for backend in backends]
    return json.dumps({"applications": applications}, separators=(",", ":")).encode()


def read_group(payload: bytes) -> list[Backend]:
    """
    The reverse of L{write_group}.

    @raise ValueError: if it is not what a relay sends.
    """
    try:
        document = json.loads(payload)
        return [Backend.model_validate(each) for each in document["applications"]]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ValueError("the catalog that came through the tunnel is not valid") from error
