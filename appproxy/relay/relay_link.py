"""
One tunnel to a relay elsewhere, as the edge holds it: the opener's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from appproxy.relay.documents import TunnelRow, read_report
from appproxy.relay.opener import StreamRequest
from appproxy.relay.opening_end import OpeningEnd
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.messages import PeerHello
from appproxy.tunnel.stream import Stream


class RelayLinkOwner(Protocol):
    """Who keeps the tunnels: told of what a relay says."""

    def relay_up(self, link: RelayLink) -> None:
        """The relay said HELLO."""

    def relay_changed(self, link: RelayLink) -> None:
        """The relay applied a catalog, reported, leaves, or is gone."""

    def relay_leaving(self, link: RelayLink) -> None:
        """The relay is about to stop: another tunnel should take over."""

    def relay_asks(self, link: RelayLink, payload: bytes) -> None:
        """The relay asks for a certificate."""


class RelayLink(OpeningEnd):
    """
    A L{appproxy.relay.opener.TunnelLink}, and a L{appproxy.tunnel.dialer.DialledEnd}.

    @ivar name: the relay's id, once it has shown its certificate.
    @ivar rows: the connectors' tunnels there, as last reported.
    """

    def __init__(self, address: str, owner: RelayLinkOwner) -> None:
        OpeningEnd.__init__(self, "", address, is_relay=True)
        self.rows: Sequence[TunnelRow] = ()
        self._owner = owner
        self._reported_revision = -1
        self._served: frozenset[str] = frozenset()
        self._groups: set[str] = set()

    # -- for the opener

    def serves(self, group: str) -> bool:
        """Whether a connector of this group has a tunnel there."""
        return group in self._served

    def leads_to(self, connector: str) -> bool:
        """Whether this connector has a tunnel there."""
        return any(row.serving and row.connector == connector for row in self.rows)

    def open(self, request: StreamRequest, handler: StreamHandler, stay: bool) -> Stream:
        """
        Open a stream.

        @param stay: at the connector that served this client's connection last.
        @raise TunnelRefused: if the tunnel takes no more.
        """
        principal, group = request.principal, request.group
        key = None
        if principal is not None:
            # Each group is told other claims: there, the same user is another principal.
            key = (principal.session_id, group)
            self._groups.add(group)
        return self._open(request, handler, key, request.revision, stay)

    def forget(self, session_id: str) -> None:
        """A session ended."""
        if self._principals is not None:
            for group in self._groups:
                self._principals.forget((session_id, group))

    # -- for the owner

    @property
    def settled(self) -> bool:
        """Serving, and known to the full: what the relay can reach is told."""
        return self.serving and self._reported_revision >= 0

    def has_live(self, revision: int) -> bool:
        """Whether the relay and every connector there serve this revision, in effect."""
        return (
            self.applied_revision >= revision
            and self._reported_revision >= revision
            and all(row.revision >= revision for row in self.rows if row.serving)
        )

    def send_config(self, revision: int, payload: bytes) -> None:
        """
        Tell the relay the catalog.

        @raise ValueError: if it is larger than the relay takes.
        """
        if self._principals is not None and not self._lost:
            assert self._session is not None
            self._session.send_config(revision, payload)

    def lost(self) -> None:
        """The connection is gone."""
        OpeningEnd.lost(self)
        self._owner.relay_changed(self)

    # -- TunnelListener

    def hello(self, peer: PeerHello) -> None:
        """The tunnel is up."""
        OpeningEnd.hello(self, peer)
        self._owner.relay_up(self)

    def config(self, revision: int, payload: bytes) -> None:
        """A report: the tunnels at the relay, and the catalog revision that it has."""
        try:
            self.rows = read_report(payload)
        except ValueError as problem:
            raise TunnelError("bad_message", "the relay's report is not valid") from problem
        self._reported_revision = revision
        self._served = frozenset(row.connector_group for row in self.rows if row.serving)
        self._owner.relay_changed(self)

    def applied(self, revision: int) -> None:
        """The relay has this revision, or a newer one."""
        self.applied_revision = revision
        self._owner.relay_changed(self)

    def renew(self, payload: bytes) -> None:
        """The relay asks for a certificate."""
        self._owner.relay_asks(self, payload)

    def going_away(self) -> None:
        """The relay is about to stop: no new streams for it."""
        OpeningEnd.going_away(self)
        self._owner.relay_leaving(self)
