"""
What a relay knows: the documents of the groups, and who may be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from appproxy.model.application import Connector
from appproxy.transport.peer import PeerIdentity

EMPTY_GROUP: Final = b'{"applications":[]}'
"""What a connector is told whose group serves nothing."""


@dataclass(frozen=True)
class RelayCatalog:
    """
    All that a relay needs to know, at one revision.

    @ivar groups: for each connector group, the document that its connectors are told.
    @ivar connectors: everybody that enrolled, by the id in the certificate.
    @ivar registry_revision: the revision of C{connectors}, which change by themselves.
    @ivar applications: the group of each application; only where streams come by
        the application's name alone, in a relay of its own.
    @ivar roots: of the CA, for a relay of its own (C{docs/tunnel.md}, section 15).
    @ivar drained: ids of connectors that get no new streams; with the registry.
    @ivar serving_root: SHA-256 (hex) of the one that a relay's certificate should be of.
    """

    revision: int = 0
    groups: Mapping[str, bytes] = field(default_factory=dict)
    connectors: Mapping[str, Connector] = field(default_factory=dict)
    registry_revision: int = 0
    applications: Mapping[str, str] = field(default_factory=dict)
    roots: tuple[Mapping[str, str], ...] = ()
    serving_root: str = ""
    drained: frozenset[str] = frozenset()

    def doubt(self, identity: PeerIdentity) -> str:
        """
        What a holder is told whom L{trusted} does not know: C{revoked}, or C{not_trusted}, which
        may change when the registry comes to know it.
        """
        known = self.connectors.get(identity.id)
        return "revoked" if known is not None and known.revoked_at else "not_trusted"

    def trusted(self, identity: PeerIdentity) -> Connector | None:
        """
        The registry's word on a certificate: its holder, unless it is unknown,
        revoked, of another role, or the certificate is none that we issued last.
        """
        known = self.connectors.get(identity.id)
        if known is None or known.revoked_at or known.role != identity.role:
            return None
        return known if identity.fingerprint in known.fingerprints else None

    def newer_of(self, other: RelayCatalog) -> RelayCatalog:
        """
        Of each half, catalog and registry, the one with the higher revision; ours if they are equal.
        """
        newer = self
        if other.revision > self.revision:
            newer = replace(
                newer, revision=other.revision, groups=other.groups, applications=other.applications
            )
        if other.registry_revision > self.registry_revision:
            newer = replace(
                newer,
                connectors=other.connectors,
                registry_revision=other.registry_revision,
                drained=other.drained,
            )
        return newer
