"""Tests of L{appproxy.transport.dialer}, over loopback with real TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.protocol import Factory

from appproxy.transport.addresses import HostPort, ListenAddress
from appproxy.transport.contexts import (
    ClientContext,
    backend_client_context,
)
from appproxy.transport.dialer import TlsClientEndpoint, TlsRefused
from appproxy.transport.fast_tls import SESSION_SECONDS
from appproxy.transport.listener import listen_plain
from appproxy.transport.peer import peer_identity
from tests.transport.loopback import (
    WEB,
    FastLayer,
    LoopbackTestCase,
    Server,
    dial_context,
)
from tests.transport.support import Recorder


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
            endpoint = TlsClientEndpoint(server.reactor, address, dial_context(), tls=server.tls)
            for wait in (False, True):
                attempt = endpoint.connect(Factory.forProtocol(Recorder))
                if wait:
                    await silent.until(lambda: silent.received != b"")
                attempt.addErrback(lambda reason: None)
                attempt.cancel()
            await silent.until_lost()
            await ports[0].stopListening()

        self.run_with(main)


class FastBackendTests(FastLayer, BackendTests):
    """The same over our own TLS layer."""

    def test_resumption(self) -> None:
        """A backend's session is resumed for a while; another host's never, and none of a tunnel."""
        pem = WEB.cert_pem.bytes()

        async def main(server: Server, port: int) -> None:
            async def reused(context: ClientContext) -> bool:
                client = await self.greet(server, port, context)
                handle = client.transport.getHandle()
                client.transport.loseConnection()
                await client.until_lost()
                return bool(handle.session_reused)

            web, tunnel = backend_client_context([pem], True, "wiki.example"), dial_context()
            self.assertEqual([await reused(web) for _ in range(3)], [False, True, True])
            other = backend_client_context([pem], True, "127.0.0.1")
            self.assertFalse(await reused(other))
            self.assertEqual([await reused(tunnel) for _ in range(2)], [False, False])
            sessions = server.tls._sessions  # type: ignore[attr-defined]
            kept = sessions._kept
            self.assertEqual(list(kept), [web, other])
            kept[web] = kept[web][0], kept[web][1] - SESSION_SECONDS
            self.assertFalse(await reused(web))

        self.run_with(main)
