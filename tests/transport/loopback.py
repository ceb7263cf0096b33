"""
An edge's port on loopback, and clients for it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import trustme
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.addresses import HostPort, ListenAddress
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import (
    ENROLL_ALPN,
    TUNNEL_ALPN,
    ClientContext,
    server_context,
    tunnel_client_context,
)
from appproxy.transport.dialer import TlsClientEndpoint, TlsRefused, loss_reason
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.layers import tls_layer
from appproxy.transport.limit import ConnectionLimit
from appproxy.transport.listener import listen
from appproxy.transport.peeking import UNRECOGNIZED_NAME, Alert, Route
from tests.transport.support import CLIENT, SERVER, Authority, Recorder, run_reactor

OURS = Authority("ours")
FOREIGN = Authority("foreign")
WEB = trustme.CA()
WEB_CERTIFICATE = WEB.issue_cert("wiki.example", "127.0.0.1")
WEB_CHAIN = b"".join(pem.bytes() for pem in WEB_CERTIFICATE.cert_chain_pems)
CONNECT = "connect.example"


def tunnel_pair(
    authority: Authority = OURS,
    role: str = "edge",
    usage: Any = SERVER,
    names: tuple[str, ...] = (CONNECT,),
    days: float = 30,
) -> tuple[bytes, bytes]:
    """A certificate as the relay's end of a tunnel has."""
    uris = [f"appproxy:{role}:e1"] if role else []
    return authority.issue(names=names, uris=uris, usage=usage, lasts=timedelta(days=days))


def connector_pair(
    authority: Authority = OURS, role: str = "connector", usage: Any = CLIENT, days: float = 30
) -> tuple[bytes, bytes]:
    """A certificate as a connector has."""
    uris = [f"appproxy:{role}:c1"] if role else []
    return authority.issue(uris=uris, usage=usage, lasts=timedelta(days=days))


def dial_context(pair: tuple[bytes, bytes] | None = None, authority: Authority = OURS) -> ClientContext:
    """How a connector dials."""
    return tunnel_client_context(*(pair or connector_pair()), authority.pem, CONNECT)


@dataclass
class Server:
    """One port with web traffic and tunnels on it, as at an edge."""

    reactor: EPollReactor
    tls: TlsLayer
    pair: tuple[bytes, bytes] = field(default_factory=tunnel_pair)
    limit: ConnectionLimit = field(default_factory=lambda: ConnectionLimit(Clock()))
    web: list[Recorder] = field(default_factory=list)
    tunnels: list[Recorder] = field(default_factory=list)
    hellos: list[ClientHello] = field(default_factory=list)
    ports: list[Any] = field(default_factory=list)

    async def start(self, address: str = "127.0.0.1:0") -> int:
        """Listen; the port's number."""
        self._web = server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes())
        self._tunnel = server_context(*self.pair, alpn=(TUNNEL_ALPN,), client_ca_pem=OURS.pem)
        self._enroll = server_context(*self.pair, alpn=(ENROLL_ALPN,), tickets=False)
        self.ports = await listen(
            self.reactor,
            ListenAddress.parse(address),
            self._choose,
            self.reactor,
            tls=self.tls,
            limit=self.limit,
        )
        return getattr(self.ports[0].getHost(), "port", 0)

    async def stop(self) -> None:
        """Listen no more."""
        for port in self.ports:
            await port.stopListening()

    def _choose(self, hello: ClientHello, _peer: IAddress) -> Route | Alert | None:
        self.hellos.append(hello)
        if hello.server_name == CONNECT:
            if hello.alpn == (ENROLL_ALPN,):
                return Route(self._enroll, lambda _: self._new(self.tunnels))
            return Route(self._tunnel, lambda _: self._new(self.tunnels))
        if hello.server_name == "nobody.example":
            return None
        if hello.server_name in ("wiki.example", None):
            return Route(self._web, lambda _: self._new(self.web))
        return UNRECOGNIZED_NAME

    def _new(self, into: list[Recorder]) -> IProtocol:
        into.append(Recorder(echo=True))
        return into[-1]


class FastLayer:
    """Both ends on our own TLS layer."""

    tls_transport = "fast"


class LoopbackTestCase(SynchronousTestCase):
    """
    Runs a server and what a test does with it on a reactor of their own.

    @cvar tls_transport: the TLS layer of both ends, as settings name it.
    """

    tls_transport = "stock"

    def run_with(
        self,
        main: Callable[[Server, int], Awaitable[Any]],
        pair: tuple[bytes, bytes] | None = None,
        **options: Any,
    ) -> Server:
        """Start a server, run C{main}, stop it."""
        reactor = EPollReactor()
        tls = tls_layer(self.tls_transport, reactor)
        server = Server(reactor, tls, pair or tunnel_pair(), **options)

        async def whole() -> None:
            port = await server.start()
            try:
                await main(server, port)
            finally:
                await server.stop()

        run_reactor(reactor, whole)
        return server

    async def dial(
        self, server: Server, port: int, context: ClientContext, *, timeout: float = 10.0
    ) -> Recorder:
        """Connect by our own dialer."""
        endpoint = TlsClientEndpoint(
            server.reactor, HostPort("127.0.0.1", port), context, timeout=timeout, tls=server.tls
        )
        client = await endpoint.connect(Factory.forProtocol(Recorder))
        assert isinstance(client, Recorder)
        return client

    async def greet(self, server: Server, port: int, context: ClientContext) -> Recorder:
        """Connect and exchange a byte, after which the server's protocol is there for certain."""
        client = await self.dial(server, port, context)
        client.transport.write(b"x")
        await client.until_received(1)
        client.received = b""
        return client

    async def refused(self, server: Server, port: int, context: ClientContext) -> str:
        """Connect, and say why it did not last. The server's protocol must never have been there."""
        try:
            client = await self.dial(server, port, context)
        except TlsRefused as error:
            return error.reason
        # In TLS 1.3 a client is done before the server has looked at its certificate.
        await client.until_lost()
        assert client.lost is not None
        self.assertEqual(server.tunnels, [])
        return loss_reason(client.lost)


def load_pair(case: SynchronousTestCase, context: ssl.SSLContext, pair: tuple[bytes, bytes]) -> None:
    """Give a context of the standard library a certificate."""
    path = case.mktemp()
    with open(path, "wb") as file:
        file.write(b"".join(pair))
    context.load_cert_chain(path)


def blocking_error(context: ssl.SSLContext, port: int, host: str) -> str:
    """What a blocking client of the standard library fails with; empty if it does not."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            secured.sendall(b"x")
            return "" if secured.recv(1) else "closed"
    except OSError as error:
        return str(error)


def resumes(context: ssl.SSLContext, port: int, host: str) -> bool:
    """Whether a second connection reuses the first one's session."""
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname=host, session=session) as secured,
        ):
            secured.sendall(b"x")
            secured.recv(1)
            session = secured.session
            reused = bool(secured.session_reused)
    return reused


def version_of(transport: Any) -> str:
    """The TLS version that was negotiated, whatever the layer."""
    handle = transport.getHandle()
    return str(handle.version() if isinstance(handle, ssl.SSLObject) else handle.get_protocol_version_name())
