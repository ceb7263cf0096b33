"""
Tests of L{appproxy.pki.tunnel_peer}, with real handshakes.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki.certificates import CONNECTORS_ISSUER, INFRASTRUCTURE_ISSUER
from appproxy.pki.tunnel_peer import TunnelPeer, tunnel_peer, unfit_server
from tests.relay.support import Holder, handshaken, holder

EDGE = holder("edge", "edge-1")


class Transport:
    """Gives its TLS connection, as Twisted's do."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def getHandle(self) -> SSL.Connection:
        """The connection."""
        return self._connection


def seen_by_server(dialler: Holder) -> TunnelPeer | None:
    """Who a client is, to the server that it dialled."""
    return tunnel_peer(Transport(handshaken(dialler, EDGE)[1]))


class TunnelPeerTests(SynchronousTestCase):
    """Who is at the other end."""

    def test_roles(self) -> None:
        """Each role is what it says, if its own issuer made it."""
        for role in ("connector", "edge", "relay"):
            who = holder(role, "abc")
            peer = seen_by_server(who)
            assert peer is not None
            self.assertEqual((peer.role, peer.id, peer.identity.fingerprint), (role, "abc", who.fingerprint))
            self.assertTrue(who.chain_pem.startswith(peer.certificate_pem))

    def test_wrong_issuer(self) -> None:
        """A certificate that the other issuer made is nobody's, though TLS has no objection."""
        for role, issuer in (
            ("edge", CONNECTORS_ISSUER),
            ("relay", CONNECTORS_ISSUER),
            ("connector", INFRASTRUCTURE_ISSUER),
        ):
            forged = holder(role, "forged", issuer)
            server = handshaken(forged, EDGE)[1]
            self.assertIsNotNone(server.get_peer_certificate())
            self.assertIsNone(tunnel_peer(Transport(server)))

    def test_groups(self) -> None:
        """An edge opens the groups of its certificate; nobody else opens any."""
        some, every = seen_by_server(holder("edge", "some", "", ("hq", "lab"))), seen_by_server(EDGE)
        connector = seen_by_server(holder("connector", "abc"))
        assert some is not None and every is not None and connector is not None
        self.assertEqual([some.opens(group) for group in ("hq", "lab", "other")], [True, True, False])
        self.assertEqual((some.opens_all, every.opens_all, every.opens("other")), (False, True, True))
        self.assertFalse(connector.opens("hq"))

    def test_server(self) -> None:
        """A server has to be an edge or a relay, or what is asked for."""
        dialler = holder("connector", "abc")
        transport = Transport(handshaken(dialler, EDGE)[0])
        self.assertEqual(unfit_server(transport), "")
        self.assertIn("not of its role", unfit_server(transport, ["relay"]))

    def test_nobody(self) -> None:
        """A transport without TLS has nobody at its other end."""

        class Plain:
            """Gives a socket."""

            def getHandle(self) -> Any:
                """Not a connection."""
                return object()

        self.assertIsNone(tunnel_peer(Plain()))
        self.assertNotEqual(unfit_server(Plain()), "")
