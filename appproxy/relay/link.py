"""
One connector's tunnel as the relay holds it: the opener's end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from mypy_extensions import mypyc_attr

from appproxy.model.application import Connector
from appproxy.pki.tunnel_peer import TunnelPeer
from appproxy.relay.opener import StreamRequest
from appproxy.relay.opening_end import OpeningEnd
from appproxy.relay.principals import Tellable
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.messages import ANONYMOUS, NO_BODY, NO_DIGEST, OpenMessage, PeerHello
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream

NO_CLAIMS: frozenset[str] = frozenset()
"""What an edge told a relay is reduced already."""


class LinkOwner(Protocol):
    """Who keeps the tunnels: told of what a connector says."""

    settings: TunnelSettings

    def link_up(self, link: ConnectorLink) -> None:
        """The peer said HELLO."""

    def link_applied(self, link: ConnectorLink) -> None:
        """The connector serves another catalog revision now."""

    def link_renew(self, link: ConnectorLink, payload: bytes) -> None:
        """The connector asks for a new certificate."""

    def link_leaving(self, link: ConnectorLink) -> None:
        """The connector is about to stop."""

    def link_lost(self, link: ConnectorLink, why: str) -> None:
        """The connection is gone."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectorLink(OpeningEnd):
    """
    A L{appproxy.relay.opener.TunnelLink}, and an L{appproxy.relay.accepting.AcceptedEnd}.

    @ivar peer: the connector, by its certificate.
    @ivar connector: its id.
    @ivar group: its group, from the registry and never from what it says itself.
    @ivar is_renewing: whether it waits for a certificate.
    """

    def __init__(self, peer: TunnelPeer, known: Connector, address: str, owner: LinkOwner) -> None:
        OpeningEnd.__init__(self, known.name, address)
        self.peer = peer
        self.connector = peer.id
        self.group = known.group
        self.is_renewing = False
        self._owner = owner
        self._told: bytes | None = None
        self._told_revision = -1
        self._known_revision = -1

    # -- for the broker and its users

    def open(self, request: StreamRequest, handler: StreamHandler) -> Stream:
        """
        Open a stream.

        @raise TunnelRefused: if the tunnel takes no more.
        """
        principal = request.principal
        key = "" if principal is None else principal.session_id
        return self._open(request, handler, key, self._revision_for(request.revision))

    def forward(
        self, message: OpenMessage, client: int, key: Hashable, user: Tellable | None, handler: StreamHandler
    ) -> Stream:
        """
        Open the stream that an edge asked a relay for.

        @param client: this relay's number of the client's connection.
        @param key: tells the user from all others of this relay.
        @raise TunnelRefused: if the tunnel takes no more.
        """
        number, digest = self._number(key, user, NO_CLAIMS)
        forwarded = OpenMessage(
            message.deadline_ms,
            message.transaction_id,
            message.application,
            self._revision_for(message.revision),
            number,
            digest,
            message.body,
            message.upgrade,
            message.head,
            client,
        )
        return self._send(forwarded, handler)

    def ask(self, message: OpenMessage, handler: StreamHandler) -> Stream:
        """See L{OpeningEnd.ask}; the connector is named the revision that it was told."""
        asked = OpenMessage(
            message.deadline_ms,
            message.transaction_id,
            message.application,
            self._revision_for(message.revision),
            ANONYMOUS,
            NO_DIGEST,
            NO_BODY,
            False,
            message.head,
            ask=True,
        )
        return self._send(asked, handler)

    def forget(self, key: Hashable) -> None:
        """A user's session ended, or an edge does not need the user any longer."""
        if self._principals is not None:
            self._principals.forget(key)

    @property
    def live_revision(self) -> int:
        """The catalog revision that the connector serves, in effect: what did not change needs no telling."""
        return self._known_revision if self.applied_revision >= self._told_revision else self.applied_revision

    def _revision_for(self, wanted: int) -> int:
        """The revision to name to the connector, which was not told those that changed nothing for it."""
        return min(wanted, self._told_revision) if wanted <= self._known_revision else wanted

    # -- for the hub

    def send_config(self, revision: int, payload: bytes) -> None:
        """Tell the connector what its group serves, unless it knows."""
        if self._principals is None or self._lost:
            return
        self._known_revision = revision
        if payload != self._told:
            self._told, self._told_revision = payload, revision
            assert self._session is not None
            self._session.send_config(revision, payload)

    # -- AcceptedEnd

    def make_session(self, wake: Callable[[], None]) -> TunnelSession:
        """The session of a tunnel that was accepted."""
        session = TunnelSession("opener", self._owner.settings, self, wake)
        self.attached(session)
        return session

    def closed(self, why: str) -> None:
        """The connection is gone."""
        self.lost()
        self._owner.link_lost(self, why)

    # -- TunnelListener

    def hello(self, peer: PeerHello) -> None:
        """The tunnel is up."""
        OpeningEnd.hello(self, peer)
        self._owner.link_up(self)

    def config(self, revision: int, payload: bytes) -> None:
        """A connector has no catalog to tell."""

    def applied(self, revision: int) -> None:
        """The connector serves this revision now."""
        self.applied_revision = revision
        self._owner.link_applied(self)

    def renew(self, payload: bytes) -> None:
        """The connector asks for a new certificate."""
        self._owner.link_renew(self, payload)

    def going_away(self) -> None:
        """The connector is about to stop: no new streams for it."""
        OpeningEnd.going_away(self)
        self._owner.link_leaving(self)
