"""
A relay of its own in memory, with edges that dial it and connectors that answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.task import Clock

from appproxy.model.application import Connector
from appproxy.model.principal import Principal
from appproxy.pki.certificates import (
    CONNECTORS_ISSUER,
    INFRASTRUCTURE_ISSUER,
    ISSUER_OF_ROLE,
    Role,
    certificate_to_pem,
    fingerprint,
    key_to_pem,
    make_key,
)
from appproxy.pki.issuing import Issuer, make_certificate, make_issuer, make_root
from appproxy.relay.accepting import AcceptedTunnel
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.dialers import RelayDialers
from appproxy.relay.edges import Edges
from appproxy.relay.opener import StreamRequest
from appproxy.transport.contexts import TUNNEL_ALPN, server_context, tunnel_client_context
from appproxy.transport.openssl_forms import form_of
from appproxy.transport.turn import end_of_turn
from appproxy.tunnel.messages import NO_BODY, OpenMessage
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream
from tests.contract.memory import MemoryTransport, Network
from tests.tunnel.support import Recorder, RecordingListener

HOST: Final = "connect.apps.example.com"
TRANSACTION: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ADA: Final = Principal("https://login.example.com", "ada", "session-of-ada", "ada@example.com")
EVE: Final = Principal("https://login.example.com", "eve", "session-of-eve", "eve@example.com")
NAME: Final = frozenset({"user_principal_name"})


class Ca:
    """Our hierarchy, with keys at hand; some years old, by the calendar that OpenSSL looks at."""

    def __init__(self) -> None:
        now = time.time() - 2 * 365 * 86400
        self.root = make_root(make_key(), now)
        keys = {name: make_key() for name in (CONNECTORS_ISSUER, INFRASTRUCTURE_ISSUER)}
        self.issuers = {
            name: Issuer(make_issuer(name, key.public_key(), self.root, now), key)
            for name, key in keys.items()
        }
        self.pem = certificate_to_pem(self.root.certificate)


@lru_cache
def ca() -> Ca:
    """One for all tests."""
    return Ca()


@dataclass(frozen=True)
class Holder:
    """Somebody with a certificate."""

    role: Role
    id: str
    key_pem: bytes
    chain_pem: bytes
    fingerprint: str

    def record(self, group: str = "", *, revoked: bool = False) -> Connector:
        """As the registry has it."""
        return Connector(
            name=self.id,
            group=group,
            role=self.role,
            fingerprints=(self.fingerprint,),
            revoked_at="2026-01-01T00:00:00Z" if revoked else "",
        )


@lru_cache
def holder(role: Role, holder_id: str, issuer: str = "", groups: tuple[str, ...] = ("*",)) -> Holder:
    """A certificate of this role; of the role's own issuer unless a test wants another."""
    key, by = make_key(), ca().issuers[issuer or ISSUER_OF_ROLE[role]]
    made = make_certificate(by, key.public_key(), role, holder_id, time.time(), host_name=HOST, groups=groups)
    chain = certificate_to_pem(made, by.certificate)
    return Holder(role, holder_id, key_to_pem(key), chain, fingerprint(made))


@lru_cache
def handshaken(dialler: Holder, acceptor: Holder) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends of a TLS connection after its handshake: the dialler's and the acceptor's."""
    root = ca().pem
    client = tunnel_client_context(dialler.chain_pem, dialler.key_pem, root, HOST)
    server = server_context(acceptor.chain_pem, acceptor.key_pem, alpn=(TUNNEL_ALPN,), client_ca_pem=root)
    near, far = SSL.Connection(form_of(client), None), SSL.Connection(form_of(server), None)
    near.set_connect_state()
    far.set_accept_state()
    for _ in range(3):
        for one, other in ((near, far), (far, near)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return near, far


RELAY: Final = "relay"


class Wires(Network):
    """Connections in memory whose ends have done a real handshake before."""

    def join(
        self, dialled: IProtocol, accepted: IProtocol, dialler: Holder, acceptor: Holder
    ) -> MemoryTransport:
        """Join two protocols; the dialling end's transport."""
        near_handle, far_handle = handshaken(dialler, acceptor)
        near = MemoryTransport(dialled, "192.0.2.7", near_handle)
        far = MemoryTransport(accepted, "203.0.113.1", far_handle)
        near.peer, far.peer = far, near
        self._transports += (near, far)
        for protocol, transport in ((accepted, far), (dialled, near)):
            either: Any = transport
            protocol.makeConnection(either)
        return near


class ConnectorEnd(RecordingListener):
    """
    A connector that applies what it is told, unless told not to.

    @ivar users: the claims of each number, as a connector keeps them.
    """

    session: TunnelSession

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[int, bytes] = {}
        self.applies = True

    def principal(self, number: int, payload: bytes) -> None:
        """Learn a user."""
        super().principal(number, payload)
        self.users[number] = payload

    def forgotten(self, number: int) -> None:
        """Forget a user."""
        super().forgotten(number)
        del self.users[number]

    def config(self, revision: int, payload: bytes) -> None:
        """Apply a catalog."""
        super().config(revision, payload)
        if self.applies:
            self.session.send_applied(revision)

    def seen(self, index: int = -1) -> tuple[OpenMessage, Principal | None, Recorder]:
        """A request, its user, and the handler of its stream."""
        message = self.messages[index]
        claims = self.users.get(message.principal_number)
        assert (claims is None) == (message.principal_number == 0)
        return message, None if claims is None else Principal.decode(claims), self.served[index]


@dataclass
class Dialled:
    """
    A tunnel of a connector.

    @ivar accepted: the relay's protocol.
    """

    end: ConnectorEnd
    protocol: TunnelProtocol
    accepted: AcceptedTunnel
    transport: MemoryTransport

    @property
    def is_up(self) -> bool:
        """Whether the relay let it in, and still does."""
        return (
            not self.accepted.refused
            and self.protocol.session.peer_hello is not None
            and not self.protocol.lost.called
        )


@dataclass
class Renewing:
    """An edge's authority, as far as a relay asks for it."""

    asked: list[tuple[str, bytes, str]] = field(default_factory=list)
    refusal: Exception | None = None
    roots: tuple[str, ...] = ()

    def __call__(
        self, holder_id: str, csr_pem: bytes, *, host_name: str = "", roots: Collection[str] = ()
    ) -> Deferred[bytes]:
        """Note the question, and answer."""
        self.roots = tuple(roots)
        self.asked.append((holder_id, csr_pem, host_name))
        return fail(self.refusal) if self.refusal is not None else succeed(b"chain of " + holder_id.encode())


@dataclass
class EdgeEnd:
    """An edge's tunnels to relays."""

    holder: Holder
    dialers: RelayDialers
    renewing: Renewing
    transports: list[MemoryTransport] = field(default_factory=list)

    def cut(self) -> None:
        """Every line of its breaks."""
        for transport in self.transports:
            transport.abortConnection()


class _Identity:
    """Of an edge, as far as dialling needs it."""

    connect_host = HOST


class Rig:
    """
    A relay, between what a test attaches to it.

    @ivar relay: the relay.
    @ivar registry: everybody who is trusted.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.wires = Wires(self.clock)
        self._schedule = end_of_turn(self.clock)
        self.relay = Edges(self.clock, self._schedule)
        self.relay_holder = holder("relay", "relay-1")
        self.reachable = True
        self.groups: dict[str, tuple[str, ...]] = {"main": ("wiki", "mail"), "lab": ("tool",)}
        self.registry: dict[str, Connector] = {"relay-1": self.relay_holder.record()}

    # -- what a test does

    def run(self) -> None:
        """Until nothing moves any more."""
        self.wires.run()

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.wires.pass_time(seconds)

    def catalog(self, revision: int = 1, registry_revision: int | None = None) -> RelayCatalog:
        """What edges know."""
        documents = {group: document(*names) for group, names in self.groups.items()}
        known = revision if registry_revision is None else registry_revision
        return RelayCatalog(revision, documents, dict(self.registry), known)

    def edge(
        self, name: str = "edge-1", catalog: RelayCatalog | None = None, groups: tuple[str, ...] = ("*",)
    ) -> EdgeEnd:
        """An edge dials the relay and tells its catalog."""
        who = holder("edge", name, groups=groups)
        self.registry.setdefault(name, who.record())
        renewing = Renewing()
        identity: Any = _Identity()
        dialers = RelayDialers(
            self.clock,
            self._schedule,
            ["relay.example:443"],
            lambda: identity,
            renewing,
            lambda _reactor, _address, _identity, above, _roles: self._dial(made, above),
        )
        made = EdgeEnd(who, dialers, renewing)
        dialers.update(self.catalog() if catalog is None else catalog)
        self.settle()
        return made

    def connector(
        self, name: str = "hq", group: str = "main", settings: TunnelSettings | None = None
    ) -> Dialled:
        """Somebody whom the edges should have told of dials as a connector."""
        return self.dial_relay(holder("connector", name), settings)

    def dial_relay(self, who: Holder, settings: TunnelSettings | None = None) -> Dialled:
        """Somebody dials the relay, and behaves as a connector."""
        end = ConnectorEnd()

        def session(wake: Callable[[], None]) -> TunnelSession:
            end.session = TunnelSession("acceptor", settings or TunnelSettings(), end, wake)
            return end.session

        protocol = TunnelProtocol(session, self.clock, self._schedule)
        accepted = self.relay.accept()
        transport = self.wires.join(protocol, accepted, who, self.relay_holder)
        self.settle()
        return Dialled(end, protocol, accepted, transport)

    def enrol(self, name: str, group: str = "main") -> None:
        """Let a connector into the registry."""
        self.registry[name] = holder("connector", name).record(group)

    def settle(self) -> None:
        """Until the edges have had the relay's report."""
        self.run()
        self.pass_time(0.2)

    # -- inside

    def _dial(self, edge: EdgeEnd, above: IProtocolFactory) -> Deferred[Any]:
        if not self.reachable:
            return fail(ConnectionRefusedError("nobody listens"))
        protocol = above.buildProtocol(None)  # type: ignore[arg-type]
        assert protocol is not None
        edge.transports.append(self.wires.join(protocol, self.relay.accept(), edge.holder, self.relay_holder))
        return succeed(protocol)


def document(*applications: str) -> bytes:
    """A group's document, of which the relay reads the names alone."""
    return json.dumps({"applications": [{"id": name} for name in applications]}).encode()


def wanted(
    application: str = "wiki",
    principal: Principal | None = None,
    *,
    group: str = "main",
    revision: int = 1,
    body: int = NO_BODY,
    upgrade: bool = False,
    client: int = 0,
    claims: frozenset[str] = NAME,
    transaction: str = TRANSACTION,
) -> StreamRequest:
    """A request as an edge wants it forwarded."""
    return StreamRequest(
        application,
        group,
        revision,
        principal,
        claims,
        transaction,
        85_000,
        b"GET /",
        body,
        upgrade,
        client,
    )


def calls_of(recorder: Recorder) -> list[str]:
    """The names of what a handler was told, in order."""
    return [call[0] for call in recorder.calls]


def reason_of(recorder: Recorder) -> str:
    """Why its stream was reset; empty if it was not."""
    return next((call[1] for call in recorder.calls if call[0] == "reset"), "")


def stream_of(recorder: Recorder) -> Stream:
    """The handler's stream."""
    assert recorder.stream is not None
    return recorder.stream
