"""
The opener's end of a tunnel: what a relay's end towards a connector and an
edge's end towards a relay have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from typing import Final

from mypy_extensions import mypyc_attr

from appproxy.relay.opener import StreamRequest
from appproxy.relay.principals import NumbersExhausted, PrincipalNumbers, Tellable
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.messages import ANONYMOUS, NO_DIGEST, OpenMessage, PeerHello
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import QUESTIONS
from appproxy.tunnel.stream import Stream

_numbers: Final = count(1)
"""A tunnel's number tells it from all others of this process, in its logs."""


@mypyc_attr(allow_interpreted_subclasses=True)
class OpeningEnd:
    """
    Most of a L{appproxy.relay.opener.TunnelLink} and of the
    L{appproxy.tunnel.session.TunnelListener} of its session.

    @ivar name: the peer's, for the log.
    @ivar tunnel: this tunnel's number, for the log.
    @ivar is_relay: whether the peer is one.
    @ivar address: where the peer is.
    @ivar software: how the peer calls itself.
    @ivar up_since: when its HELLO came; 0 before.
    @ivar applied_revision: the newest catalog revision that the peer applied; -1 before the first.
    @ivar takes_questions: whether the peer answers the questions of C{docs/tunnel.md}, section 14.
    @ivar drained: whether an administrator wants no new streams to go there.
    @ivar timed: is set to what wants to know of the answers to pings.
    """

    def __init__(self, name: str, address: str, is_relay: bool = False) -> None:
        self.name = name
        self.is_relay = is_relay
        self.tunnel = str(next(_numbers))
        self.address = address
        self.software = ""
        self.up_since = 0.0
        self.applied_revision = -1
        self.takes_questions = False
        self.drained = False
        self.timed: Callable[[bytes], None] = lambda _payload: None
        self._leaving = False
        self._lost = False
        self._session: TunnelSession | None = None
        self._principals: PrincipalNumbers | None = None

    # -- for whoever opens streams

    @property
    def serving(self) -> bool:
        """Up, with a catalog, not drained, and neither side about to leave."""
        return self.applied_revision >= 0 and not (self._leaving or self._lost or self.drained)

    @property
    def usable(self) -> bool:
        """L{serving}, and with room for a stream."""
        session = self._session
        return session is not None and self.serving and session.usable

    @property
    def load(self) -> int:
        """Streams open now."""
        return self._session.active_streams if self._session is not None else 0

    def release_client(self, client_connection: int) -> None:
        """A client's connection that something was bound to is closed."""
        if self._session is not None and not self._lost:
            self._session.send_client_gone(client_connection)

    def send_renewed(self, payload: bytes) -> None:
        """Answer the peer's request for a certificate."""
        if self._session is not None and not self._lost:
            self._session.send_renew(payload)

    def leave(self) -> None:
        """Take no new streams; those under way finish."""
        if not self._leaving and self._session is not None and not self._lost:
            self._leaving = True
            self._session.go_away("draining")

    def lost(self) -> None:
        """The connection is gone."""
        self._lost = True

    def _number(self, key: Hashable, principal: Tellable | None, claims: frozenset[str]) -> tuple[int, bytes]:
        """
        Number and digest of a user, who is told first if new.

        @raise TunnelRefused: if there is no room, or no number left.
        """
        if principal is None:
            return ANONYMOUS, NO_DIGEST
        if self._principals is None:
            raise TunnelRefused("draining", "the tunnel is not up")
        try:
            numbered = self._principals.number_of(key, principal, claims)
        except NumbersExhausted:
            self.leave()
            raise TunnelRefused("draining", "no principal number is left") from None
        return numbered.number, numbered.digest

    def _open(
        self,
        request: StreamRequest,
        handler: StreamHandler,
        key: Hashable,
        revision: int,
        stay: bool = False,
    ) -> Stream:
        """
        Open the stream that is wanted.

        @param key: tells the user from all others of this tunnel.
        @param revision: the catalog's, as the peer knows it.
        @raise TunnelRefused: if the tunnel takes no more.
        """
        number, digest = self._number(key, request.principal, request.claims)
        message = OpenMessage(
            request.deadline_ms,
            request.transaction_id,
            request.application,
            revision,
            number,
            digest,
            request.body,
            request.upgrade,
            request.head,
            request.client_connection,
            stay,
        )
        return self._send(message, handler)

    def ask(self, message: OpenMessage, handler: StreamHandler) -> Stream:
        """
        Open the stream of a question.

        @raise TunnelRefused: if the tunnel takes no more.
        """
        return self._send(message, handler)

    def _send(self, message: OpenMessage, handler: StreamHandler) -> Stream:
        """
        @raise TunnelRefused: if the tunnel takes no more.
        """
        if self._session is None:
            raise TunnelRefused("draining", "the tunnel is not up")
        return self._session.open(message, handler)

    # -- TunnelListener

    def attached(self, session: TunnelSession) -> None:
        """The session that this listens to."""
        self._session = session

    def hello(self, peer: PeerHello) -> None:
        """The peer's limits are known: the tunnel can be used."""
        session = self._session
        assert session is not None
        self.software = peer.software
        self.takes_questions = QUESTIONS in peer.features
        self._principals = PrincipalNumbers(
            session.send_principal, session.send_forget, peer.settings.max_principals
        )

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """An acceptor opens no streams; the session sees to that."""

    def principal(self, number: int, payload: bytes) -> None:
        """An acceptor knows no users."""

    def forgotten(self, number: int) -> None:
        """An acceptor knows no users."""

    def client_gone(self, client_connection: int) -> None:
        """An acceptor has no clients."""

    def going_away(self) -> None:
        """The peer is about to stop: no new streams for it."""
        self._leaving = True

    def pong(self, payload: bytes) -> None:
        """How long the line takes."""
        self.timed(payload)
