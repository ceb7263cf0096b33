"""Tests of L{appproxy.transport.listener} and L{appproxy.transport.dialer}, over loopback with real TLS."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import trustme
from twisted.internet import threads
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError, ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.addresses import HostPort, ListenAddress
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import (
    ENROLL_ALPN,
    HTTP_ALPN,
    TUNNEL_ALPN,
    ClientContext,
    backend_client_context,
    server_context,
    tunnel_client_context,
)
from appproxy.transport.dialer import TlsClientEndpoint, TlsRefused, loss_reason
from appproxy.transport.listener import (
    HANDSHAKE_SECONDS,
    UNRECOGNIZED_NAME,
    Alert,
    ConnectionLimit,
    PeekingFactory,
    Route,
    listen,
    listen_plain,
)
from appproxy.transport.peer import PeerIdentity, peer_identity
from appproxy.transport.stock_tls import StockTls
from tests.transport.support import CLIENT, SERVER, Authority, Recorder, run_reactor
from tests.transport.test_client_hello import HELLO

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
    pair: tuple[bytes, bytes] = field(default_factory=tunnel_pair)
    limit: ConnectionLimit = field(default_factory=ConnectionLimit)
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
            self.reactor, ListenAddress.parse(address), self._choose, self.reactor, limit=self.limit
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


class LoopbackTestCase(SynchronousTestCase):
    """Runs a server and what a test does with it on a reactor of their own."""

    def run_with(
        self,
        main: Callable[[Server, int], Awaitable[Any]],
        pair: tuple[bytes, bytes] | None = None,
        **options: Any,
    ) -> Server:
        """Start a server, run C{main}, stop it."""
        reactor = EPollReactor()
        server = Server(reactor, pair or tunnel_pair(), **options)

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
        endpoint = TlsClientEndpoint(server.reactor, HostPort("127.0.0.1", port), context, timeout=timeout)
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


class TunnelTests(LoopbackTestCase):
    """Mutual authentication."""

    def test_both_sides_known(self) -> None:
        """Connector and relay meet in TLS 1.3, each with the other's identity; bytes go both ways."""
        found: list[PeerIdentity | None] = []

        async def main(server: Server, port: int) -> None:
            client = await self.dial(server, port, dial_context())
            self.assertTrue(client.made)
            client.transport.write(b"hello")
            await client.until_received(5)
            self.assertEqual(client.transport.getHandle().get_protocol_version_name(), "TLSv1.3")
            self.assertEqual(client.transport.negotiatedProtocol, TUNNEL_ALPN)
            found.extend([peer_identity(client.transport), peer_identity(server.tunnels[0].transport)])
            client.transport.loseConnection()
            await server.tunnels[0].until_lost()

        server = self.run_with(main)
        seen_by_client, seen_by_server = found
        assert seen_by_client is not None and seen_by_server is not None
        self.assertEqual((seen_by_client.role, seen_by_client.id), ("edge", "e1"))
        self.assertEqual((seen_by_server.role, seen_by_server.id), ("connector", "c1"))
        self.assertRegex(seen_by_server.fingerprint, r"\A[0-9a-f]{64}\Z")
        self.assertEqual(server.limit.active, 0)
        assert server.tunnels[0].lost is not None
        self.assertEqual(loss_reason(server.tunnels[0].lost), "closed")

    def test_client_without_certificate(self) -> None:
        """A tunnel without a client certificate is refused, and its protocol never built."""

        async def main(server: Server, port: int) -> None:
            context = ssl.create_default_context(cadata=OURS.pem.decode())
            context.set_alpn_protocols([TUNNEL_ALPN.decode()])
            error = await threads.deferToThreadPool(
                server.reactor, server.reactor.getThreadPool(), blocking_error, context, port, CONNECT
            )
            self.assertIn("CERTIFICATE_REQUIRED", error.upper().replace(" ", "_"))
            self.assertEqual(server.tunnels, [])

        self.run_with(main)

    def test_bad_clients(self) -> None:
        """Foreign, expired, roleless, wrongly purposed and wrongly roled certificates are all refused."""
        cases = {
            "foreign": (connector_pair(FOREIGN), "alert_unknown_ca"),
            "expired": (connector_pair(days=-1), "alert_certificate_expired"),
            "server's": (connector_pair(usage=SERVER), "alert_unsupported_certificate"),
            "no role": (connector_pair(role=""), "broken_off"),
            "odd role": (connector_pair(role="admin"), "broken_off"),
            "other role": (connector_pair(role="relay"), "broken_off"),
        }

        async def main(server: Server, port: int) -> None:
            for name, (pair, expected) in cases.items():
                reason = await self.refused(server, port, dial_context(pair))
                self.assertEqual(reason, expected, name)

        self.run_with(main)

    def test_bad_servers(self) -> None:
        """A server that is not of our CA, has no role, another purpose or another name is refused."""
        cases = {
            "foreign": (tunnel_pair(FOREIGN), "unknown_authority"),
            "expired": (tunnel_pair(days=-1), "certificate_expired"),
            "no role": (tunnel_pair(role=""), "certificate_without_role"),
            "no role, no usage": (tunnel_pair(role="", usage=None), "certificate_without_role"),
            "a connector": (tunnel_pair(role="connector", usage=None), "role_not_allowed"),
            "a connector's": (tunnel_pair(role="connector", usage=CLIENT), "certificate_of_another_purpose"),
            "other name": (tunnel_pair(names=("other.example",)), "other_host"),
            "no name": (tunnel_pair(names=()), "other_host"),
        }
        for name, (pair, expected) in cases.items():

            async def main(server: Server, port: int, expected: str = expected, name: str = name) -> None:
                self.assertEqual(await self.refused(server, port, dial_context()), expected, name)

            self.run_with(main, pair)

    def test_alpn(self) -> None:
        """Who asks the tunnel's host for another protocol, or for none, gets no tunnel."""

        async def main(server: Server, port: int) -> None:
            other = replace(backend_client_context([OURS.pem], True, CONNECT), alpn=(HTTP_ALPN,))
            self.assertEqual(await self.refused(server, port, other), "alert_no_application_protocol")
            pair = connector_pair()
            silent = ssl.create_default_context(cadata=OURS.pem.decode())
            load_pair(self, silent, pair)
            error = await threads.deferToThreadPool(
                server.reactor, server.reactor.getThreadPool(), blocking_error, silent, port, CONNECT
            )
            self.assertTrue(error)
            self.assertEqual(server.tunnels, [])

        self.run_with(main)

    def test_enrolment(self) -> None:
        """The same host serves enrolment without a client certificate, which gives no identity."""

        async def main(server: Server, port: int) -> None:
            context = backend_client_context([OURS.pem], True, CONNECT)
            context.openssl.set_alpn_protos([ENROLL_ALPN])
            client = await self.dial(server, port, replace(context, alpn=(ENROLL_ALPN,)))
            client.transport.write(b"x")
            await client.until_received(1)
            self.assertIsNone(peer_identity(server.tunnels[0].transport))
            client.transport.loseConnection()
            await server.tunnels[0].until_lost()

        self.run_with(main)

    def test_no_resumption(self) -> None:
        """A tunnel is never resumed: each handshake checks the chain again."""
        pair = connector_pair()

        async def main(server: Server, port: int) -> None:
            context = ssl.create_default_context(cadata=OURS.pem.decode())
            context.set_alpn_protocols([TUNNEL_ALPN.decode()])
            load_pair(self, context, pair)
            pool = server.reactor.getThreadPool()
            again = await threads.deferToThreadPool(server.reactor, pool, resumes, context, port, CONNECT)
            self.assertFalse(again)
            web = ssl.create_default_context()
            WEB.configure_trust(web)
            self.assertTrue(
                await threads.deferToThreadPool(server.reactor, pool, resumes, web, port, "wiki.example")
            )

        self.run_with(main)


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


class WebTests(LoopbackTestCase):
    """Browsers, and whoever else finds the port."""

    def test_web(self) -> None:
        """A browser is told apart by its ClientHello and asked for nothing."""

        async def main(server: Server, port: int) -> None:
            pem = WEB.cert_pem.bytes()
            client = await self.dial(server, port, backend_client_context([pem], True, "wiki.example"))
            client.transport.write(b"GET")
            await client.until_received(3)
            self.assertEqual(client.transport.negotiatedProtocol, HTTP_ALPN)
            client.transport.loseConnection()
            await server.web[0].until_lost()

        server = self.run_with(main)
        self.assertEqual(server.hellos, [ClientHello("wiki.example", (HTTP_ALPN,))])

    def test_openssl_client(self) -> None:
        """Unknown names and foreign protocols get the alerts made for them, as another program sees."""

        async def main(server: Server, port: int) -> None:
            for arguments, expected in (
                (["-servername", "other.example"], "alert number 112"),
                (["-servername", "wiki.example", "-alpn", "h2"], "alert number 120"),
                (["-servername", "wiki.example", "-alpn", "h2,http/1.1"], "ALPN protocol: http/1.1"),
                (["-servername", "wiki.example", "-tls1_2"], "Protocol  : TLSv1.2"),
                (["-servername", "wiki.example", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "alert"),
                (["-noservername"], "Verification error"),
                (["-servername", CONNECT, "-alpn", TUNNEL_ALPN.decode(), "-tls1_2"], "alert number 70"),
            ):
                output = await threads.deferToThreadPool(
                    server.reactor, server.reactor.getThreadPool(), s_client, port, arguments
                )
                self.assertIn(expected, output, arguments)

        self.run_with(main)

    def test_plain_http(self) -> None:
        """Who forgets the s of https is told so in words."""

        async def main(server: Server, port: int) -> None:
            client = Recorder()
            await connectProtocol(TCP4ClientEndpoint(server.reactor, "127.0.0.1", port), client)
            client.transport.write(b"POST / HTTP/1.1\r\nHost: wiki.example\r\n\r\n" + b"x" * 10_000)
            await client.until(lambda: b"https://" in client.received)
            client.transport.loseConnection()
            await client.until_lost()
            self.assertTrue(client.received.startswith(b"HTTP/1.1 400 "))

        self.run_with(main)

    def test_junk_and_silence(self) -> None:
        """Other strangers are hung up on."""

        async def main(server: Server, port: int) -> None:
            for data in (b"SSH-2.0-x\r\n", b"\0", b"\x16\x03\x01\x00\x05\x02junk", b"\x80\x01\x02"):
                client = Recorder()
                await connectProtocol(TCP4ClientEndpoint(server.reactor, "127.0.0.1", port), client)
                client.transport.write(data)
                await client.until_lost()
                self.assertIn(client.received, (b"", b"\x15\x03\x03\x00\x02\x02\x32"))
            context = backend_client_context([], True, "nobody.example")
            self.assertEqual(await self.refused(server, port, context), "broken_off")

        self.run_with(main)

    def test_close_notify(self) -> None:
        """A close is announced; without the announcement the end counts as a break."""

        async def main(server: Server, port: int) -> None:
            pem = WEB.cert_pem.bytes()
            client = await self.greet(server, port, backend_client_context([pem], True, "wiki.example"))
            server.web[0].transport.loseConnection()
            await client.until_lost()
            assert client.lost is not None
            self.assertEqual(loss_reason(client.lost), "closed")
            client = await self.greet(server, port, backend_client_context([pem], True, "wiki.example"))
            server.web[1].transport.transport.loseConnection()
            await client.until_lost()
            assert client.lost is not None
            self.assertEqual(loss_reason(client.lost), "broken_off")

        self.run_with(main)

    def test_split_anywhere(self) -> None:
        """A ClientHello that comes byte by byte is as good as one that comes whole."""

        async def main(server: Server, port: int) -> None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context()
            WEB.configure_trust(context)
            secured = context.wrap_bio(incoming, outgoing, server_hostname="wiki.example")
            client = Recorder()
            await connectProtocol(TCP4ClientEndpoint(server.reactor, "127.0.0.1", port), client)
            client.transport.setTcpNoDelay(True)
            while True:
                try:
                    secured.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
                for byte in outgoing.read():
                    client.transport.write(bytes([byte]))
                    await self._turns(server.reactor)
                await client.until(lambda: bool(client.received))
                incoming.write(client.received)
                client.received = b""
            secured.write(b"hi")
            client.transport.write(outgoing.read())
            await client.until(lambda: bool(server.web) and server.web[0].received == b"hi")
            client.transport.loseConnection()
            await server.web[0].until_lost()

        self.run_with(main)

    async def _turns(self, reactor: EPollReactor) -> None:
        done: Deferred[None] = Deferred()
        reactor.callLater(0, done.callback, None)
        await done


def s_client(port: int, arguments: list[str]) -> str:
    """What C{openssl s_client} prints."""
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (result.stdout + result.stderr).decode("utf-8", "replace")


class BackendTests(LoopbackTestCase):
    """Dialling web applications."""

    def test_verification(self) -> None:
        """Chain and name are checked, names and addresses alike; switched off, neither is."""
        pem = WEB.cert_pem.bytes()
        cases = [
            (backend_client_context([pem], True, "wiki.example"), ""),
            (backend_client_context([pem], True, "127.0.0.1"), ""),
            (backend_client_context([], True, "wiki.example"), "unknown_authority"),
            (backend_client_context([pem], True, "127.0.0.2"), "other_host"),
            (backend_client_context([], False, "wiki.example"), ""),
        ]

        async def main(server: Server, port: int) -> None:
            for context, expected in cases:
                try:
                    client = await self.dial(server, port, context)
                except TlsRefused as error:
                    self.assertEqual(error.reason, expected)
                    continue
                self.assertEqual("", expected)
                self.assertIsNone(peer_identity(client.transport))
                client.transport.abortConnection()
                await client.until_lost()

        self.run_with(main)

    def test_refused_connection(self) -> None:
        """Where nobody listens, the system's own error comes through."""

        async def main(server: Server, port: int) -> None:
            await server.stop()
            server.ports.clear()
            with self.assertRaises(ConnectionRefusedError):
                await self.dial(server, port, dial_context())

        self.run_with(main)

    def test_timeout(self) -> None:
        """A server that accepts and says nothing is given up, and the connection closed."""

        async def main(server: Server, port: int) -> None:
            silent = Recorder()
            ports: list[Any] = await listen_plain(
                server.reactor, ListenAddress.parse("127.0.0.1:0"), lambda _: silent
            )
            with self.assertRaises(TimeoutError):
                await self.dial(server, ports[0].getHost().port, dial_context(), timeout=0.2)
            await silent.until_lost()
            await ports[0].stopListening()

        self.run_with(main)

    def test_cancelled(self) -> None:
        """An attempt may be given up before and after the TCP connection stands."""

        async def main(server: Server, port: int) -> None:
            silent = Recorder()
            ports: list[Any] = await listen_plain(
                server.reactor, ListenAddress.parse("127.0.0.1:0"), lambda _: silent
            )
            address = HostPort("127.0.0.1", ports[0].getHost().port)
            endpoint = TlsClientEndpoint(server.reactor, address, dial_context())
            for wait in (False, True):
                attempt = endpoint.connect(Factory.forProtocol(Recorder))
                if wait:
                    await silent.until(lambda: silent.received != b"")
                attempt.addErrback(lambda reason: None)
                attempt.cancel()
            await silent.until_lost()
            await ports[0].stopListening()

        self.run_with(main)


class LimitTests(LoopbackTestCase):
    """What one listener bears."""

    def test_connections(self) -> None:
        """One connection too many is closed; when one leaves, another may come."""

        async def main(server: Server, port: int) -> None:
            context = backend_client_context([], False, "wiki.example")
            first = await self.greet(server, port, context)
            self.assertEqual(await self.refused(server, port, context), "broken_off")
            first.transport.loseConnection()
            await server.web[0].until_lost()
            again = await self.greet(server, port, context)
            again.transport.loseConnection()
            await server.web[1].until_lost()

        server = self.run_with(main, limit=ConnectionLimit(1))
        self.assertEqual((server.limit.active, server.limit.refused), (0, 1))

    def test_per_address(self) -> None:
        """One address may not take all."""
        limit = ConnectionLimit(10, per_address=2)
        one, other = IPv4Address("TCP", "192.0.2.1", 1), IPv4Address("TCP", "192.0.2.2", 1)
        self.assertEqual([limit.admit(one) for _ in range(3)], [True, True, False])
        self.assertTrue(limit.admit(other))
        limit.leave(one)
        self.assertTrue(limit.admit(one))

    def test_deadline(self) -> None:
        """Neither silence nor half a handshake lasts longer than the deadline; then nothing is left over."""
        clock = Clock()
        context = server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes())
        built: list[ClientHello] = []

        def build(hello: ClientHello) -> IProtocol:
            built.append(hello)
            return Recorder()

        for data in (b"", HELLO[:50], HELLO):
            factory = PeekingFactory(
                lambda *_: Route(context, build), clock, StockTls(clock), ConnectionLimit()
            )
            transport = StringTransport()
            protocol = factory.buildProtocol(transport.getPeer())
            assert protocol is not None
            protocol.makeConnection(transport)
            for byte in data:
                protocol.dataReceived(bytes([byte]))
            clock.advance(HANDSHAKE_SECONDS - 1)
            self.assertFalse(transport.disconnected)
            clock.advance(1)
            self.assertTrue(transport.disconnected)
            protocol.connectionLost()
            self.assertEqual(factory.limit.active, 0)
            self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(built, [])

    def test_back_pressure(self) -> None:
        """A reader that stops pauses the producer above TLS; reading on resumes it."""
        size = 8 << 20

        class Producer:
            """Writes 64 KiB whenever it may, and notes when it may not."""

            def __init__(self, transport: Any) -> None:
                self.transport = transport
                self.sent = self.pauses = 0
                self.running = False

            def resumeProducing(self) -> None:
                self.running = True
                while self.running and self.sent < size:
                    self.sent += 65536
                    self.transport.write(b"x" * 65536)
                if self.sent >= size and self.running:
                    self.running = False
                    self.transport.unregisterProducer()

            def pauseProducing(self) -> None:
                self.running = False
                self.pauses += 1

            def stopProducing(self) -> None:
                self.running = False

        async def main(server: Server, port: int) -> None:
            client = await self.greet(server, port, backend_client_context([], False, "wiki.example"))
            client.transport.pauseProducing()
            transport = server.web[0].transport
            producer = Producer(transport)
            transport.registerProducer(producer, True)
            producer.resumeProducing()
            waited: Deferred[None] = Deferred()
            server.reactor.callLater(0.3, waited.callback, None)
            await waited
            self.assertLess(producer.sent, size)
            self.assertGreater(producer.pauses, 0)
            self.assertEqual(client.received, b"")
            client.transport.resumeProducing()
            await client.until_received(size)
            self.assertEqual(producer.sent, size)
            client.transport.loseConnection()
            await server.web[0].until_lost()

        self.run_with(main)


class PlainTests(LoopbackTestCase):
    """Listeners without TLS."""

    def test_unix(self) -> None:
        """A Unix socket has the permissions asked for, and a stale one is replaced."""
        path = f"/tmp/appproxy-test-{os.getpid()}.sock"
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()

        async def main(server: Server, _port: int) -> None:
            address = ListenAddress("unix", path)
            recorder = Recorder(echo=True)
            ports: list[Any] = await listen_plain(
                server.reactor, address, lambda _: recorder, limit=server.limit
            )
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
            client = Recorder()
            await connectProtocol(UNIXClientEndpoint(server.reactor, path), client)
            client.transport.write(b"x")
            await client.until_received(1)
            self.assertEqual(server.limit.active, 1)
            with self.assertRaises(CannotListenError):
                await listen_plain(server.reactor, address, lambda _: None)
            client.transport.loseConnection()
            await recorder.until_lost()
            await ports[0].stopListening()

        server = self.run_with(main)
        self.assertEqual(server.limit.active, 0)
        self.assertFalse(os.path.exists(path))

    def test_declined(self) -> None:
        """Where no protocol is built the connection is closed, and not counted."""

        async def main(server: Server, _port: int) -> None:
            ports: list[Any] = await listen_plain(
                server.reactor, ListenAddress.parse("127.0.0.1:0"), lambda _: None, limit=server.limit
            )
            client = Recorder()
            endpoint = TCP4ClientEndpoint(server.reactor, "127.0.0.1", ports[0].getHost().port)
            await connectProtocol(endpoint, client)
            await client.until_lost()
            await ports[0].stopListening()

        self.assertEqual(self.run_with(main).limit.active, 0)

    def test_taken(self) -> None:
        """A port that is taken fails as every endpoint of Twisted's does."""

        async def main(server: Server, port: int) -> None:
            with self.assertRaises(CannotListenError):
                await listen_plain(server.reactor, ListenAddress("tcp", "127.0.0.1", port), lambda _: None)

        self.run_with(main)
