"""
One connector's tunnel as the relay holds it: the opener's end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

from appproxy.relay.opener import StreamRequest
from appproxy.relay.principals import NumbersExhausted, PrincipalNumbers
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.messages import ANONYMOUS, NO_DIGEST, OpenMessage, PeerHello
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.stream import Stream, StreamHandler


class LinkOwner(Protocol):
    """Who keeps the tunnels: told of what a connector says."""

    def link_up(self, link: ConnectorLink) -> None:
        """The peer said HELLO."""

    def link_applied(self, link: ConnectorLink) -> None:
        """The connector serves another catalog revision now."""

    def link_renew(self, link: ConnectorLink, payload: bytes) -> None:
        """The connector asks for a new certificate."""


class ConnectorLink:
    """
    A L{appproxy.relay.opener.TunnelLink} and the
    L{appproxy.tunnel.session.TunnelListener} of its session.

    @ivar connector: the connector's id, from its certificate.
    @ivar group: its group, from the registry and never from what it says itself.
    @ivar applied_revision: the newest catalog revision that it serves; -1 before the first.
    """

    _log = Logger()

    def __init__(self, connector: str, name: str, group: str, fingerprint: str, owner: LinkOwner) -> None:
        self.connector = connector
        self.name = name
        self.group = group
        self.fingerprint = fingerprint
        self.applied_revision = -1
        self.software = ""
        self.address = ""
        self._told: bytes | None = None
        self._told_revision = -1
        self._known_revision = -1
        self.up_since = 0.0
        self.abort: Callable[[str], None] = lambda _why: None
        self.timed: Callable[[bytes], None] = lambda _payload: None
        self._owner = owner
        self._leaving = False
        self._lost = False
        self._session: TunnelSession | None = None
        self._principals: PrincipalNumbers | None = None

    # -- for the broker

    @property
    def usable(self) -> bool:
        """Up, with a catalog, and neither side about to leave."""
        session = self._session
        return session is not None and self.applied_revision >= 0 and not self._leaving and session.usable

    @property
    def load(self) -> int:
        """Streams open now."""
        return self._session.active_streams if self._session is not None else 0

    def open(self, request: StreamRequest, handler: StreamHandler) -> Stream:
        """
        Open a stream.

        @raise TunnelRefused: if the tunnel takes no more.
        """
        session, principals = self._session, self._principals
        if session is None or principals is None:
            raise TunnelRefused("draining", "the tunnel is not up")
        number, digest = ANONYMOUS, NO_DIGEST
        if request.principal is not None:
            try:
                numbered = principals.number_of(
                    request.principal.session_id, request.principal, request.claims
                )
            except NumbersExhausted:
                self.leave()
                raise TunnelRefused("draining", "no principal number is left") from None
            number, digest = numbered.number, numbered.digest
        return session.open(
            OpenMessage(
                request.deadline_ms,
                request.transaction_id,
                request.application,
                request.revision,
                number,
                digest,
                request.body,
                request.upgrade,
                request.head,
                request.client_connection,
            ),
            handler,
        )

    def forget(self, session_id: str) -> None:
        """A session ended."""
        if self._principals is not None:
            self._principals.forget(session_id)

    def release_client(self, client_connection: int) -> None:
        """A client's connection that something was bound to is closed."""
        if self._session is not None and not self._lost:
            self._session.send_client_gone(client_connection)

    def leave(self) -> None:
        """Take no new streams; those under way finish."""
        if not self._leaving and self._session is not None and not self._lost:
            self._leaving = True
            self._session.go_away("draining")

    @property
    def live_revision(self) -> int:
        """The catalog revision that the connector serves, in effect: what did not change needs no telling."""
        return self._known_revision if self.applied_revision >= self._told_revision else self.applied_revision

    def send_config(self, revision: int, payload: bytes) -> None:
        """Tell the connector what its group serves, unless it knows."""
        if self._principals is None or self._lost:
            return
        self._known_revision = revision
        if payload != self._told:
            self._told, self._told_revision = payload, revision
            assert self._session is not None
            self._session.send_config(revision, payload)

    def send_renewed(self, payload: bytes) -> None:
        """Answer a request for a new certificate."""
        if self._session is not None and not self._lost:
            self._session.send_renew(payload)

    def lost(self) -> None:
        """The connection is gone."""
        self._lost = True

    # -- TunnelListener

    def attached(self, session: TunnelSession) -> None:
        """The session that this link listens to."""
        self._session = session

    def hello(self, peer: PeerHello) -> None:
        """The peer's limits are known: the tunnel can be used."""
        session = self._session
        assert session is not None
        self.software = peer.software
        self._principals = PrincipalNumbers(
            session.send_principal, session.send_forget, peer.settings.max_principals
        )
        self._owner.link_up(self)

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """A connector opens no streams."""
        stream.reset("bug", "a connector opens no streams")

    def config(self, revision: int, payload: bytes) -> None:
        """A connector has no catalog to tell."""

    def applied(self, revision: int) -> None:
        """The connector serves this revision now."""
        self.applied_revision = revision
        self._owner.link_applied(self)

    def renew(self, payload: bytes) -> None:
        """The connector asks for a new certificate."""
        self._owner.link_renew(self, payload)

    def principal(self, number: int, payload: bytes) -> None:
        """A connector knows no users."""

    def forgotten(self, number: int) -> None:
        """A connector knows no users."""

    def client_gone(self, client_connection: int) -> None:
        """A connector has no clients."""

    def going_away(self) -> None:
        """The connector is about to stop: no new streams for it."""
        self._leaving = True

    def pong(self, payload: bytes) -> None:
        """How long the line takes."""
        self.timed(payload)
