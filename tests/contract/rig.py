"""
Edge, relay, tunnel and connector put together in one process: what a client
sends goes in as bytes, and a backend gets bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock, fail, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from appproxy.catalog.group_document import write_group
from appproxy.catalog.snapshot import Catalog
from appproxy.config.edge import EdgeSettings
from appproxy.connector.allow_list import AllowList
from appproxy.connector.backend_connection import BackendConnection
from appproxy.connector.dial import BackendError
from appproxy.connector.pool import Pool
from appproxy.connector.served import CatalogCopy
from appproxy.connector.trails import Trails
from appproxy.connector.tunnel_end import TunnelEnd
from appproxy.edge.assembly import SigningIn, build_pages, build_web
from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application, Backend, ConnectorGroup
from appproxy.model.principal import Principal
from appproxy.observe.transaction import Transaction
from appproxy.pages.pages import Pages
from appproxy.relay.catalog import RelayCatalog
from appproxy.session.cookies import SESSION_COOKIE
from appproxy.session.handover import Handover
from appproxy.session.keyring import Keyring
from appproxy.session.record import Tokens
from appproxy.session.records import Sessions
from appproxy.sso.modes import SignOns
from appproxy.store.sealing import Sealer
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker
from appproxy.transport.turn import end_of_turn
from appproxy.transport.wheel import TimerWheel
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from tests.contract.memory import MemoryTransport, Network
from tests.contract.tunnels import Tunnels, make_tunnels
from tests.relay.support import Wires, holder

START: Final = 1_800_000_000.0
DOMAIN: Final = "apps.example.com"
ADA: Final = Principal(
    "https://login.example.com", "ada", "", "ada@example.com", display_name="Ada", groups=frozenset({"HR"})
)
EVE: Final = Principal("https://login.example.com", "eve", "", "eve@example.com")

OPEN_TO_ALL: Final = {"pre_authentication": "passthrough"}


def application(name: str, **changes: Any) -> Application:
    """An application at C{NAME.apps.example.com}, open to all who signed in."""
    passthrough = changes.get("pre_authentication") == "passthrough"
    fields: dict[str, Any] = {
        "name": name.capitalize(),
        "external_url": f"https://{name}.{DOMAIN}/",
        "internal_url": f"http://{name}.internal.example:8080/",
        "connector_group": "main",
        "everyone": not passthrough and not {"users", "groups"} & changes.keys(),
    }
    return Application.model_validate(fields | changes)


@implementer(IHalfCloseableProtocol)
class Client(Protocol):
    """
    A browser, or worse.

    @ivar received: all that came.
    @ivar lost: how the connection ended; L{None} while it lasts.
    @ivar half_closed: whether the other side sends nothing more.
    """

    transport: Any

    def __init__(self, network: Network) -> None:
        self._network = network
        self.received = bytearray()
        self.lost: Failure | None = None
        self.half_closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.half_closed = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    def send(self, data: bytes) -> None:
        """Send bytes, and let everybody act on them."""
        self.transport.write(data)
        self._network.run()

    def take(self) -> bytes:
        """What came since the last time."""
        data = bytes(self.received)
        self.received.clear()
        return data

    def leave(self) -> None:
        """Close the connection."""
        self.transport.abortConnection()
        self._network.run()

    def stop_reading(self) -> None:
        """Take nothing until L{go_on_reading}."""
        self.transport.pauseProducing()

    def go_on_reading(self) -> None:
        """Take what waits."""
        self.transport.resumeProducing()
        self._network.run()

    @property
    def ended(self) -> bool:
        """Whether the edge has closed the connection, or its half."""
        return self.half_closed or self.lost is not None


class BackendEnd(Client):
    """One connection as an application's server sees it."""


@dataclass
class ConnectorEnd:
    """One connector with its tunnel."""

    id: str
    end: TunnelEnd
    protocol: TunnelProtocol
    transport: MemoryTransport

    def cut(self) -> None:
        """The tunnel's line breaks."""
        self.transport.abortConnection()


@dataclass
class Behind:
    """
    The network behind the connectors.

    @ivar dialled: every backend connection, in order, with the host that was asked for.
    @ivar refusing: hosts where nobody listens.
    @ivar silent: hosts whose connections do not come about until L{answer_dials}.
    """

    network: Network
    dialled: list[tuple[str, BackendEnd]] = field(default_factory=list)
    refusing: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def dial(self, host: str, closed: Callable[[BackendConnection], None]) -> Deferred[BackendConnection]:
        """As a connector's dialler."""
        if host in self.refusing:
            return fail(BackendError("backend_refused", f"{host}: refused"))
        if host not in self.silent:
            return succeed(self._connect(host, closed))

        def answer() -> None:
            later.callback(self._connect(host, closed))

        later: Deferred[BackendConnection] = Deferred(lambda _: self.waiting.remove(answer))
        self.waiting.append(answer)
        return later

    def answer_dials(self) -> None:
        """Let the connections come about that were waited for."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()
        self.network.run()

    def _connect(self, host: str, closed: Callable[[BackendConnection], None]) -> BackendConnection:
        connection, backend = BackendConnection(closed), BackendEnd(self.network)
        self.network.connect(connection, backend)
        self.dialled.append((host, backend))
        return connection


class Rig:
    """
    @ivar finished: every transaction that was written to the log.
    @ivar clients: all that ever connected.
    @ivar served: for each request that came to a connector, which one that was.
    """

    def __init__(
        self,
        front_end: str = "channel",
        applications: Mapping[str, Application] | None = None,
        rules: tuple[IAccessRule, ...] = (),
        limits: Mapping[str, Any] | None = None,
        connectors: Mapping[str, str] | None = None,
        relays: int = 0,
        hsts: str = "365d",
    ) -> None:
        """
        @param connectors: id to group; one of the group C{main} by default.
        @param relays: how many relays of their own; without any it is inside of the edge.
        """
        self.clock = Clock()
        self.clock.advance(START)
        self.network = Wires(self.clock)
        self.behind = Behind(self.network)
        self.finished: list[Transaction] = []
        self.clients: list[Client] = []
        self.served: list[str] = []
        self._revision = 0
        self._connector_groups = dict(connectors if connectors is not None else {"hq": "main"})
        self._schedule = end_of_turn(self.clock)
        self.tunnels: Tunnels = make_tunnels(self.network, self._schedule, relays)
        self._start_sessions()
        self._start_edge(front_end, rules, limits or {}, hsts)
        self.connectors: dict[str, ConnectorEnd] = {}
        self.publish(applications if applications is not None else {"wiki": application("wiki")})
        for connector in self._connector_groups:
            self.connect_tunnel(connector)

    # -- what a test does

    def publish(self, applications: Mapping[str, Application]) -> None:
        """Serve these applications from now on."""
        self.judge_by(applications)
        self.tell()

    def judge_by(self, applications: Mapping[str, Application]) -> None:
        """The edge's gate serves these applications; nobody else has heard of them."""
        self._revision += 1
        names = {each.connector_group for each in applications.values()} | set(
            self._connector_groups.values()
        )
        groups = {name: ConnectorGroup(name=name) for name in names}
        self._catalog = Catalog(self._revision, applications, groups)
        self.web.follow(self._catalog)

    def tell(self) -> None:
        """Relay and connectors hear of it."""
        catalog = self._catalog
        trusted = self._connector_groups.items()
        registry = {name: holder("connector", name).record(group) for name, group in trusted}
        registry |= self.tunnels.registry
        documents = {name: write_group(catalog.by_group(name)) for name in catalog.groups}
        self.tunnels.update(RelayCatalog(self._revision, documents, registry, self._revision))
        self.network.run()

    def connect_tunnel(self, connector: str) -> ConnectorEnd:
        """A connector dials."""
        catalog = CatalogCopy(
            AllowList.parse(["*.internal.example:8080"], ["10.0.0.0/8"]),
            SignOns(("none", "headers")),
            self._pool,
        )
        end = TunnelEnd(
            "edge",
            catalog,
            TimerWheel(self.clock),
            self,
            lambda _application: self.served.append(connector),
            Trails(self.clock.seconds),
            DeferredLock(),
        )

        def session(wake: Callable[[], None]) -> TunnelSession:
            made = TunnelSession("acceptor", TunnelSettings(), end, wake)
            end.attached(made)
            return made

        protocol = TunnelProtocol(session, self.clock, self._schedule)
        end.timed = protocol.pong
        protocol.lost.addCallback(lambda _: end.lost())
        number = list(self._connector_groups).index(connector)
        transport = self.tunnels.attach(holder("connector", connector), number, protocol)
        made = self.connectors[connector] = ConnectorEnd(connector, end, protocol, transport)
        return made

    def client(self, host: str = f"wiki.{DOMAIN}") -> Client:
        """A client that has opened a TLS connection for a host."""
        return self._connected(self.web.secure_channel("192.0.2.7", host))

    def plain_client(self) -> Client:
        """A client at port 80."""
        return self._connected(self.web.plain_channel("192.0.2.7"))

    def sign_in(self, principal: Principal = ADA) -> str:
        """A new session's id."""
        ids: list[str] = []
        self.sessions.create(principal, Tokens()).addCallback(ids.append)
        self.network.run()
        return ids[0]

    def cookie(self, session_id: str, host: str = f"wiki.{DOMAIN}") -> bytes:
        """The Cookie header for a session at a host."""
        value = self.sessions.cookie(session_id, host.encode())
        return b"Cookie: %s=%s\r\n" % (SESSION_COOKIE, value)

    def end_session(self, session_id: str) -> None:
        """Sign out."""
        self.sessions.end(session_id, "sign_out")
        self.network.run()

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.network.pass_time(seconds)

    @property
    def backend(self) -> BackendEnd:
        """The newest backend connection."""
        return self.behind.dialled[-1][1]

    @property
    def backends(self) -> list[BackendEnd]:
        """Every backend connection ever, in order."""
        return [backend for _, backend in self.behind.dialled]

    def stop(self) -> None:
        """After a test: nothing may be left."""
        self.sessions.stop()

    def open_streams(self) -> int:
        """Streams that either end of any tunnel still knows."""
        dialled = [each.protocol for each in self.connectors.values()]
        return sum(each.session.active_streams for each in (*self.tunnels, *dialled))

    # -- TunnelOwner

    def tunnel_up(self, end: TunnelEnd) -> None:
        """Nothing to do."""

    def tunnel_leaving(self, end: TunnelEnd) -> None:
        """Nothing to do."""

    def tunnel_refused(self, end: TunnelEnd, reason: str) -> None:
        """No test's connector is."""
        raise AssertionError(reason)

    def renewed(self, certificate_pem: str) -> None:
        """Nothing to do."""

    def told_roots(self, roots: object) -> None:
        """Nothing to do."""

    # -- inside

    def _start_sessions(self) -> None:
        stores: list[SqliteStore] = []
        SqliteStore.open(IN_MEMORY, self.clock, InlineWorker()).addCallback(stores.append)
        self.store = stores[0]
        settings = edge_settings().session
        sealer = Sealer(b"k" * 32)
        keyring = Keyring(self.store, sealer, self.clock, settings.maximum_lifetime)
        self.sessions = Sessions(self.store, sealer, keyring, self.clock, settings)
        self.sessions.start()
        self.handover = Handover(keyring, self.sessions, self.store, self.clock, f"https://auth.{DOMAIN}")

    def _start_edge(
        self, front_end: str, rules: tuple[IAccessRule, ...], limits: Mapping[str, Any], hsts: str
    ) -> None:
        self.web = build_web(
            self.clock,
            edge_settings(front_end, tuple(limits.items()), hsts),
            shared_pages(),
            SigningIn(self.handover, None, None),
            self.sessions,
            self.tunnels.opener,
            self._schedule,
            self.finished.append,
            rules,
            lambda: True,
        )

    def _connected(self, channel: IProtocol) -> Client:
        client = Client(self.network)
        self.clients.append(client)
        self.network.connect(client, channel)
        self.network.run()
        return client

    def _pool(self, backend: Backend) -> Pool:
        host = backend.internal_url.host
        return Pool(
            lambda closed: self.behind.dial(host, closed), TimerWheel(self.clock), self.clock.seconds, 8, 60.0
        )


@lru_cache
def edge_settings(
    front_end: str = "channel", limits: tuple[tuple[str, Any], ...] = (), hsts: str = "365d"
) -> EdgeSettings:
    """An edge's configuration of which only this is said."""
    return EdgeSettings.model_validate(
        {
            "domain": DOMAIN,
            "listen": {"front_end": front_end},
            "limits": dict(limits),
            "tls": {"hsts": hsts},
        }
    )


@lru_cache
def shared_pages() -> Pages:
    """The pages: made once, since they take longer than most tests."""
    return build_pages(edge_settings())
