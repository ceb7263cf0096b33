"""Tests of L{appproxy.transport.contexts}: who may meet whom, over loopback with real TLS."""

from __future__ import annotations

import ssl
from dataclasses import replace

from twisted.internet import threads

from appproxy.transport.contexts import (
    ENROLL_ALPN,
    HTTP_ALPN,
    TUNNEL_ALPN,
    backend_client_context,
)
from appproxy.transport.dialer import loss_reason
from appproxy.transport.peer import PeerIdentity, peer_identity
from tests.transport.loopback import (
    CONNECT,
    FOREIGN,
    OURS,
    WEB,
    FastLayer,
    LoopbackTestCase,
    Server,
    blocking_error,
    connector_pair,
    dial_context,
    load_pair,
    resumes,
    tunnel_pair,
    version_of,
)
from tests.transport.support import CLIENT, SERVER


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
            self.assertEqual(version_of(client.transport), "TLSv1.3")
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


class FastTunnelTests(FastLayer, TunnelTests):
    """Mutual authentication over our own TLS layer."""
