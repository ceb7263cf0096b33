"""
One edge's tunnel as a relay of its own holds it: the acceptor's end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from appproxy.pki.tunnel_peer import TunnelPeer
from appproxy.relay.link import ConnectorLink
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.messages import ANONYMOUS, OpenMessage, PeerHello
from appproxy.tunnel.principals import digest_of
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import MIB, TunnelSettings
from appproxy.tunnel.stream import Stream

EDGE_SETTINGS: Final = TunnelSettings(
    max_streams=8_000,
    growth_limit=256 * MIB,
    max_principals=60_000,
    max_principal_bytes=192 * MIB,
    max_config=64 * MIB,
)
"""All of an edge's requests come through one tunnel, and the users and documents of all groups."""

CLIENT_BITS: Final = 40
"""An edge counts its client connections: at 10,000 a second for three years."""

EDGE_NUMBERS: Final = 1 << (64 - CLIENT_BITS)

MAXIMUM_CLIENTS: Final = 32_768
"""Client connections of one edge of which it is known who served them: more than it accepts by default."""


class ForwardedUser:
    """
    A user as an edge told it, passed on as it is.

    A L{appproxy.relay.principals.Tellable}.

    @ivar told: the connectors' tunnels that know the user.
    """

    __slots__ = ("digest", "encoded", "told")

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        self.digest = digest_of(encoded)
        self.told: set[ConnectorLink] = set()

    def reduced_to(self, claims: frozenset[str], /) -> ForwardedUser:
        """The edge did that."""
        return self


class EdgeOwner(Protocol):
    """Who keeps the edges' tunnels."""

    def edge_up(self, edge: EdgeLink) -> None:
        """The edge said HELLO."""

    def edge_config(self, edge: EdgeLink, revision: int, payload: bytes) -> None:
        """The edge tells the catalog."""

    def edge_opened(self, edge: EdgeLink, stream: Stream, message: OpenMessage) -> None:
        """The edge opened a stream."""

    def edge_renewed(self, edge: EdgeLink, payload: bytes) -> None:
        """The edge answers a request for a certificate."""

    def edge_lost(self, edge: EdgeLink, why: str) -> None:
        """The connection is gone."""


class EdgeLink:
    """
    An L{appproxy.relay.accepting.AcceptedEnd} and the
    L{appproxy.tunnel.listener.TunnelListener} of its session.

    @ivar peer: the edge, by its certificate.
    @ivar address: where it is.
    @ivar number: this relay's own of this tunnel; no other that is open has it.
    """

    def __init__(self, peer: TunnelPeer, address: str, number: int, owner: EdgeOwner) -> None:
        self.peer = peer
        self.address = address
        self.number = number
        self.timed: Callable[[bytes], None] = lambda _payload: None
        self._owner = owner
        self._session: TunnelSession | None = None
        self._users: dict[int, ForwardedUser] = {}
        self._served: OrderedDict[int, dict[str, ConnectorLink]] = OrderedDict()

    # -- for the forwarder

    def user(self, number: int, link: ConnectorLink) -> ForwardedUser | None:
        """The user of a number, who is about to be told to this connector; L{None} for anonymous."""
        if number == ANONYMOUS:
            return None
        user = self._users[number]
        user.told.add(link)
        return user

    def user_key(self, number: int) -> Hashable:
        """Tells a user of this edge from all others of this relay."""
        return self.number, number

    def client_number(self, client_connection: int) -> int:
        """
        This relay's number of a client's connection, so that those of two edges never meet at a connector.

        @raise TunnelError: if the edge counts higher than it can.
        """
        if client_connection >> CLIENT_BITS:
            raise TunnelError("bad_message", "a client connection's number is out of bounds")
        return self.number << CLIENT_BITS | client_connection if client_connection else 0

    def bound_to(self, client_connection: int, group: str) -> ConnectorLink | None:
        """
        Who served the last request of this client's connection to this group. Once that is
        about to close, sign-on starts anew on another, as within an edge.
        """
        links = self._served.get(client_connection)
        link = links.get(group) if links is not None else None
        if links is None or link is None or link.usable:
            return link
        del links[group]
        link.release_client(self.client_number(client_connection))
        return None

    def note_served(self, client_connection: int, link: ConnectorLink) -> None:
        """Remember it."""
        if not client_connection:
            return
        served = self._served
        links = served.get(client_connection)
        if links is None:
            links = served[client_connection] = {}
            if len(served) > MAXIMUM_CLIENTS:
                self._release(*served.popitem(last=False))
        else:
            served.move_to_end(client_connection)
        links[link.group] = link

    def _release(self, client_connection: int, links: dict[str, ConnectorLink]) -> None:
        for link in links.values():
            link.release_client(self.client_number(client_connection))

    def _forget(self, number: int, user: ForwardedUser) -> None:
        for link in user.told:
            link.forget(self.user_key(number))

    # -- for the owner

    def send_report(self, revision: int, payload: bytes) -> None:
        """
        Tell of the connectors' tunnels.

        @raise ValueError: if it is larger than the edge takes.
        """
        if self._session is not None:
            self._session.send_config(revision, payload)

    def send_applied(self, revision: int) -> None:
        """A CONFIG of this edge, or a newer one of another, is in force."""
        if self._session is not None:
            self._session.send_applied(revision)

    def send_renew(self, payload: bytes) -> None:
        """Ask for a certificate."""
        if self._session is not None:
            self._session.send_renew(payload)

    # -- AcceptedEnd

    def make_session(self, wake: Callable[[], None]) -> TunnelSession:
        """The session of a tunnel that was accepted."""
        self._session = TunnelSession("acceptor", EDGE_SETTINGS, self, wake)
        return self._session

    def closed(self, why: str) -> None:
        """The connection is gone, and with it this edge's users and clients."""
        self._session = None
        for number, user in self._users.items():
            self._forget(number, user)
        for client_connection, links in self._served.items():
            self._release(client_connection, links)
        self._users.clear()
        self._served.clear()
        self._owner.edge_lost(self, why)

    # -- TunnelListener

    def hello(self, peer_hello: PeerHello) -> None:
        """The tunnel is up; the edge sends the catalog now."""
        self._owner.edge_up(self)

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """A request."""
        self.client_number(message.client_connection)
        self._owner.edge_opened(self, stream, message)

    def principal(self, number: int, payload: bytes) -> None:
        """A user, who is told to a connector with the first request that goes there."""
        self._users[number] = ForwardedUser(payload)

    def forgotten(self, number: int) -> None:
        """A user's session ended; the streams are reset already."""
        user = self._users.pop(number, None)
        if user is not None:
            self._forget(number, user)

    def client_gone(self, client_connection: int) -> None:
        """A client's connection is closed: what was bound to it goes."""
        links = self._served.pop(client_connection, None)
        if links is not None:
            self._release(client_connection, links)

    def config(self, revision: int, payload: bytes) -> None:
        """The catalog, as the edge has it."""
        self._owner.edge_config(self, revision, payload)

    def applied(self, revision: int) -> None:
        """Reports need no answer."""

    def renew(self, payload: bytes) -> None:
        """The answer to a request for a certificate."""
        self._owner.edge_renewed(self, payload)

    def going_away(self) -> None:
        """The edge opens no more streams; those under way go on."""

    def pong(self, payload: bytes) -> None:
        """How long the line takes."""
        self.timed(payload)
