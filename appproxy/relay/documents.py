"""
What edges and relays tell each other in CONFIG and RENEW: section 13 of C{docs/tunnel.md}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from appproxy.model.application import Connector
from appproxy.relay.catalog import RelayCatalog

Text = Annotated[StrictStr, Field(max_length=256)]


_FOR_EDGES: Final = {"root", "trusts", "drained_at"}
"""Of a holder's record: what relays have no use for, and those of an earlier version would stumble over."""


class _Received(BaseModel):
    """From another daemon, which may be newer: what is unknown is read over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _CatalogDocument(_Received):
    groups: dict[str, str]
    registry_revision: Annotated[StrictInt, Field(ge=0)]
    connectors: dict[str, Connector]
    roots: list[dict[str, str]] | None = None
    serving_root: Text = ""
    drained: frozenset[str] = frozenset()


class TunnelRow(_Received):
    """
    One connector's tunnel at a relay.

    @ivar revision: the catalog revision that the connector serves, in effect.
    @ivar drained: whether an administrator wants none to go there.
    @ivar serving: whether new streams may go there.
    """

    connector: Text
    connector_group: Text
    role: Text = "connector"
    address: Text
    since: Text
    streams: StrictInt
    revision: StrictInt
    software: Text
    round_trip_seconds: StrictFloat | None = None
    drained: StrictBool = False
    serving: StrictBool

    def as_dict(self) -> dict[str, object]:
        """As C{status} shows it."""
        return self.model_dump(exclude={"serving"})


class _Report(_Received):
    tunnels: tuple[TunnelRow, ...]


class RenewalRequest(_Received):
    """
    A relay asks an edge for a certificate.

    @ivar id: comes back with the answer.
    @ivar csr: the signing request (PEM).
    @ivar certificate: the present one (PEM) of the connector that asks; empty where
        the relay asks for itself.
    @ivar roots: SHA-256 (hex) of those that whoever needs the certificate trusts.
    """

    id: StrictInt
    csr: StrictStr
    certificate: StrictStr = ""
    roots: Annotated[tuple[Text, ...], Field(max_length=8)] = ()


class RenewalAnswer(_Received):
    """
    @ivar certificate: the chain (PEM); empty if it was refused.
    @ivar refused: why.
    """

    id: StrictInt
    certificate: StrictStr = ""
    refused: Text = ""


def write_catalog(catalog: RelayCatalog) -> bytes:
    """What an edge tells a relay; the revision stands in the frame."""
    document: dict[str, Any] = {
        "groups": {group: document.decode() for group, document in catalog.groups.items()},
        "registry_revision": catalog.registry_revision,
        "connectors": {
            key: connector.model_dump(mode="json", exclude=_FOR_EDGES)
            for key, connector in catalog.connectors.items()
        },
    }
    if catalog.drained:
        document["drained"] = sorted(catalog.drained)
    if catalog.roots:
        document |= {"roots": [dict(each) for each in catalog.roots], "serving_root": catalog.serving_root}
    return _json(document)


def read_catalog(revision: int, payload: bytes) -> RelayCatalog:
    """
    The reverse of L{write_catalog}, with the group of each application.

    @raise ValueError: if it is not what an edge sends.
    """
    try:
        read = _CatalogDocument.model_validate_json(payload)
        applications = {
            application["id"]: group
            for group, document in read.groups.items()
            for application in json.loads(document)["applications"]
        }
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ValueError("the catalog that came through the tunnel is not valid") from error
    groups = {group: document.encode() for group, document in read.groups.items()}
    roots = tuple(read.roots or ())
    return RelayCatalog(
        revision,
        groups,
        read.connectors,
        read.registry_revision,
        applications,
        roots,
        read.serving_root,
        read.drained,
    )


def write_report(rows: Iterable[Mapping[str, object]]) -> bytes:
    """What a relay tells of its connectors' tunnels."""
    return _json({"tunnels": list(rows)})


def read_report(payload: bytes) -> tuple[TunnelRow, ...]:
    """
    The reverse of L{write_report}.

    @raise ValueError: if it is not what a relay sends.
    """
    return _Report.model_validate_json(payload).tunnels


def write_renewal(message: RenewalRequest | RenewalAnswer) -> bytes:
    """Either as the payload of RENEW."""
    return message.model_dump_json(exclude_defaults=True).encode()


def _json(plain: dict[str, Any]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()
