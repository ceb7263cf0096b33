"""Tests of L{appproxy.transport.balanced}."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.balanced import HEADER_SECONDS, MAXIMUM_WAITING, BalancedFactory, is_listed
from tests.transport.support import Recorder

BALANCER = IPv4Address("TCP", "10.0.0.5", 40000)
HEADER = b"PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n"
NETWORKS = (ip_network("10.0.0.5/32"), ip_network("fd00::/64"))


class Above(Factory):
    """Notes whom it built protocols for."""

    noisy = False
    full = False

    def __init__(self) -> None:
        self.built: list[tuple[IAddress | None, Recorder]] = []

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A recorder, unless there are enough."""
        if self.full:
            return None
        self.built.append((addr, Recorder()))
        return self.built[-1][1]


class BalancedTests(SynchronousTestCase):
    """
    Who a connection belongs to.

    Security row 4.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.above = Above()
        self.factory = BalancedFactory(self.above, NETWORKS, self.clock)

    def connect(self, peer: IAddress = BALANCER) -> tuple[Any, Any]:
        """A connection from somebody."""
        protocol = self.factory.buildProtocol(peer)
        transport: Any = StringTransport(peerAddress=peer)
        if protocol is not None:
            transport.protocol = protocol
            protocol.makeConnection(transport)
        return protocol, transport

    def test_client(self) -> None:
        """A listed balancer's connection is its client's, with every byte behind the header."""
        protocol, transport = self.connect()
        protocol.dataReceived(HEADER[:9])
        self.assertEqual(self.above.built, [])
        protocol.dataReceived(HEADER[9:] + b"hello")
        ((client, recorder),) = self.above.built
        self.assertEqual(client, IPv4Address("TCP", "203.0.113.9", 51234))
        self.assertEqual(recorder.received, b"hello")
        self.assertIs(transport.protocol, recorder)
        self.assertEqual(transport.getPeer(), client)
        self.assertEqual((self.factory.waiting, self.clock.getDelayedCalls()), (0, []))

    def test_own_connection(self) -> None:
        """The balancer's own connection, a health check, is the balancer's."""
        protocol, _ = self.connect()
        protocol.dataReceived(b"PROXY UNKNOWN\r\n")
        self.assertEqual(self.above.built[0][0], BALANCER)

    def test_others(self) -> None:
        """Nobody else is believed: what they send is theirs, a header too."""
        for peer in (IPv4Address("TCP", "10.0.0.6", 1), IPv6Address("TCP", "fd01::1", 1), UNIXAddress("x")):
            protocol, _ = self.connect(peer)
            protocol.dataReceived(HEADER)
            self.assertEqual(self.above.built[-1][0], peer)
            self.assertEqual(self.above.built[-1][1].received, HEADER)

    def test_no_header(self) -> None:
        """A balancer that sends none is cut off: to guess would be to believe anybody."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertTrue(transport.disconnected)
        protocol.dataReceived(HEADER)
        self.assertEqual((self.above.built, self.factory.waiting), ([], 0))

    def test_late(self) -> None:
        """Nor does it have for ever."""
        protocol, transport = self.connect()
        protocol.dataReceived(HEADER[:20])
        self.clock.advance(HEADER_SECONDS)
        self.assertTrue(transport.disconnected)
        self.assertEqual((self.above.built, self.factory.waiting), ([], 0))

    def test_bounded(self) -> None:
        """Only so many connections wait for their header; one that ends makes room."""
        waiting = [self.connect()[0] for _ in range(MAXIMUM_WAITING)]
        self.assertIsNone(self.connect()[0])
        waiting[0].connectionLost(connectionDone)
        self.assertIsNotNone(self.connect()[0])
        for each in waiting:
            each.connectionLost(connectionDone)

    def test_full(self) -> None:
        """A client that finds no room above is cut off."""
        self.above.full = True
        protocol, transport = self.connect()
        protocol.dataReceived(HEADER)
        self.assertTrue(transport.disconnected)

    def test_listed(self) -> None:
        """Networks of both families, whatever an address is dressed as."""
        for host, expected in (
            ("10.0.0.5", True),
            ("::ffff:10.0.0.5", True),
            ("fd00::7", True),
            ("fd00::7%eth0", True),
            ("10.0.0.50", False),
            ("::ffff:10.0.0.6", False),
            ("", False),
        ):
            self.assertEqual(is_listed(IPv6Address("TCP", host, 1), NETWORKS), expected, host)
