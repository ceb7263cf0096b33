"""Tests of L{appproxy.transport.listener}, over loopback with real TLS."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from typing import Any

from twisted.internet import threads
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from appproxy.transport.addresses import ListenAddress
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import (
    HTTP_ALPN,
    TUNNEL_ALPN,
    backend_client_context,
    server_context,
)
from appproxy.transport.dialer import loss_reason
from appproxy.transport.layers import tls_layer
from appproxy.transport.limit import ALL, ConnectionLimit
from appproxy.transport.listener import listen_plain
from appproxy.transport.peeking import (
    CLIENT_HANDSHAKES,
    HANDSHAKE_SECONDS,
    WAITING_BYTES,
    PeekingFactory,
    Route,
)
from tests.transport.loopback import (
    CONNECT,
    FOREIGN,
    WEB,
    WEB_CERTIFICATE,
    WEB_CHAIN,
    FastLayer,
    LoopbackTestCase,
    Server,
    connector_pair,
    dial_context,
)
from tests.transport.support import Recorder
from tests.transport.test_client_hello import HELLO, real_hello


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

    def test_renegotiation(self) -> None:
        """Who wants to begin anew in the midst of a connection is refused."""

        async def main(server: Server, port: int) -> None:
            output = await threads.deferToThreadPool(
                server.reactor,
                server.reactor.getThreadPool(),
                s_client,
                port,
                ["-servername", "wiki.example", "-tls1_2"],
                b"R\n",
            )
            self.assertIn("RENEGOTIATING", output)
            self.assertIn("no renegotiation", output)
            self.assertEqual(server.web[0].received, b"")

        self.run_with(main)

    def test_key_update(self) -> None:
        """Whoever wants new keys gets them, and the connection goes on."""

        async def main(server: Server, port: int) -> None:
            output = await threads.deferToThreadPool(
                server.reactor, server.reactor.getThreadPool(), update_keys, port
            )
            self.assertEqual(output, "hello\n" * 3)

        self.run_with(main)

    def test_abort_in_handshake(self) -> None:
        """A client that is gone in the midst of its handshake leaves nothing behind."""

        async def main(server: Server, port: int) -> None:
            hello = real_hello("wiki.example", ("http/1.1",))
            for size in (1, 20, len(hello)):
                client = Recorder()
                await connectProtocol(TCP4ClientEndpoint(server.reactor, "127.0.0.1", port), client)
                client.transport.write(hello[:size])
                if size == len(hello):
                    await client.until_received(1)
                client.transport.abortConnection()
                await client.until_lost()
            while server.limit.active:
                await self._turns(server.reactor)
            self.assertEqual(server.web, [])

        self.run_with(main)

    def test_huge_write(self) -> None:
        """One write of any size reaches a slow reader whole."""
        size = 24 << 20

        async def main(server: Server, port: int) -> None:
            client = await self.greet(server, port, backend_client_context([], False, "wiki.example"))
            counted = 0

            def slowly(data: bytes) -> None:
                nonlocal counted
                counted += len(data)
                client.transport.pauseProducing()
                server.reactor.callLater(0, client.transport.resumeProducing)
                if counted == size:
                    client.transport.loseConnection()

            client.dataReceived = slowly  # type: ignore[method-assign]
            server.web[0].transport.write(bytes(size))
            await server.web[0].until_lost()
            self.assertEqual(counted, size)

        self.run_with(main)

    async def _turns(self, reactor: EPollReactor) -> None:
        done: Deferred[None] = Deferred()
        reactor.callLater(0, done.callback, None)
        await done


def update_keys(port: int) -> str:
    """What C{openssl s_client} gets echoed between its key updates."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "wiki.example"]
    echoed = ""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None and client.stdout is not None and client.stderr is not None
        for _ in range(3):
            client.stdin.write("K\n")
            client.stdin.flush()
            while "KEYUPDATE" not in client.stderr.readline():
                pass
            client.stdin.write("hello\n")
            client.stdin.flush()
            while (line := client.stdout.readline()) != "hello\n":
                if not line:
                    return echoed
            echoed += line
        client.stdin.write("Q\n")
    return echoed


def s_client(port: int, arguments: list[str], said: bytes = b"") -> str:
    """What C{openssl s_client} prints."""
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments],
        input=said,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (result.stdout + result.stderr).decode("utf-8", "replace")


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

        server = self.run_with(main, limit=ConnectionLimit(Clock(), 1))
        self.assertEqual((server.limit.active, server.limit.refused[ALL]), (0, 1))

    def test_tunnels(self) -> None:
        """However many browsers there are, a tunnel gets in; who only begins like one does not stay."""

        async def main(server: Server, port: int) -> None:
            browser = backend_client_context([], False, "wiki.example")
            clients = [await self.greet(server, port, browser)]
            self.assertEqual(await self.refused(server, port, browser), "broken_off")
            self.assertTrue(await self.refused(server, port, dial_context(connector_pair(FOREIGN))))
            clients.append(await self.greet(server, port, dial_context()))
            self.assertEqual((len(server.web), len(server.tunnels)), (1, 1))
            for client, recorder in zip(clients, server.web + server.tunnels, strict=True):
                client.transport.loseConnection()
                await recorder.until_lost()

        server = self.run_with(main, limit=ConnectionLimit(Clock(), 1))
        self.assertEqual(server.limit.refused[ALL], 1)

    def test_deadline(self) -> None:
        """Neither silence nor half a handshake lasts longer than the deadline; then nothing is left over."""
        clock = Clock()
        context = server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes())
        built: list[ClientHello] = []

        def build(hello: ClientHello) -> IProtocol:
            built.append(hello)
            return Recorder()

        for data in (b"", HELLO[:50], HELLO):
            tls = tls_layer(self.tls_transport, clock)
            factory = PeekingFactory(lambda *_: Route(context, build), clock, tls, ConnectionLimit(clock))
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

    def test_says_more_while_it_waits(self) -> None:
        """Who waits for the turn of its handshake may say more; who says too much is cut off."""
        clock, context = Clock(), server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes())
        tls = tls_layer(self.tls_transport, clock)
        route = Route(context, lambda hello: Recorder())
        factory = PeekingFactory(lambda *_: route, clock, tls, ConnectionLimit(clock))

        def client() -> tuple[IProtocol, StringTransport]:
            transport = StringTransport()
            protocol = factory.buildProtocol(transport.getPeer())
            assert protocol is not None
            protocol.makeConnection(transport)
            protocol.dataReceived(HELLO)
            return protocol, transport

        for _ in range(CLIENT_HANDSHAKES):
            client()
        (patient, waits), (chatty, gone) = client(), client()
        patient.dataReceived(b"\x17\x03\x03\x00\x01x")
        for _ in range(4):
            chatty.dataReceived(bytes(WAITING_BYTES // 4))
        self.assertEqual((waits.disconnected, gone.disconnected), (False, True))
        self.assertEqual(waits.value(), b"")
        clock.advance(0)
        self.assertNotEqual(waits.value(), b"")


class FastWebTests(FastLayer, WebTests):
    """Browsers on our own TLS layer."""


class FastLimitTests(FastLayer, LimitTests):
    """What a listener bears with our own TLS layer."""


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
        """A port that is taken fails as with every endpoint, and names sockets that systemd passed."""
        self.patch(os, "environ", {**os.environ, "LISTEN_FDNAMES": "https"})

        async def main(server: Server, port: int) -> None:
            with self.assertRaisesRegex(CannotListenError, 'write "systemd:https"'):
                await listen_plain(server.reactor, ListenAddress("tcp", "127.0.0.1", port), lambda _: None)

        self.run_with(main)
