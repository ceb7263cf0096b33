"""Tests of L{appproxy.edge.front_door}."""

from __future__ import annotations

import trustme
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.edge.front_door import FrontDoor
from appproxy.pki.server_identity import ServerIdentity
from appproxy.transport.certificates import CertificateDirectory
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import ENROLL_ALPN, TUNNEL_ALPN
from appproxy.transport.peeking import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, Route
from tests.pki.support import HOST, clock_now, new_folder, open_authority, result

PEER = IPv4Address("TCP", "192.0.2.7", 50_000)


class FrontDoorTests(SynchronousTestCase):
    """What a connection is."""

    def setUp(self) -> None:
        folder = new_folder(self.mktemp())
        issued = trustme.CA().issue_cert("wiki.example")
        pem = b"".join(each.bytes() for each in issued.cert_chain_pems) + issued.private_key_pem.bytes()
        (folder / "wiki.pem").write_bytes(pem)
        self.clock: Clock = clock_now()
        self.browsers: list[tuple[str, str | None]] = []
        self.made = {"tunnel": Protocol(), "newcomer": Protocol()}
        self.door = self.make_door(folder)
        authority = open_authority(self.clock, new_folder(self.mktemp()))
        identity = ServerIdentity(authority, new_folder(self.mktemp()), HOST)
        result(identity.start())
        self.addCleanup(identity.stop)
        self.identity = identity.current

    def make_door(self, folder: object, tunnels: bool = True) -> FrontDoor:
        """A door over the certificates of a folder."""
        certificates = CertificateDirectory([folder], self.clock)  # type: ignore[list-item]
        certificates.reload()
        return FrontDoor(
            HOST,
            certificates,
            (lambda: self.made["tunnel"]) if tunnels else None,
            lambda: self.made["newcomer"],
            self.browser,
        )

    def browser(self, address: str, name: str | None) -> IProtocol:
        """As the web side."""
        self.browsers.append((address, name))
        return Protocol()

    def built(self, name: str | None, *alpn: bytes) -> IProtocol:
        """What is built for a connection."""
        hello = ClientHello(name, alpn)
        route = self.door.choose(hello, PEER)
        assert isinstance(route, Route)
        return route.build(hello)

    def test_browser(self) -> None:
        """A name that there is a certificate for is a browser's, whatever else it offers."""
        for alpn in ((), (b"h2", b"http/1.1"), (TUNNEL_ALPN,)):
            self.built("wiki.example", *alpn)
        self.assertEqual(self.browsers, [("192.0.2.7", "wiki.example")] * 3)

    def test_unknown_name(self) -> None:
        """A name that nobody knows gets the alert that says so."""
        self.assertEqual(self.door.choose(ClientHello("x.example", ()), PEER), UNRECOGNIZED_NAME)

    def test_machines(self) -> None:
        """At the connect host the protocol decides; browsers get nothing there."""
        self.door.show(self.identity)
        self.door.show_newcomers(self.identity)
        self.assertIs(self.built(HOST, TUNNEL_ALPN), self.made["tunnel"])
        self.assertIs(self.built(HOST, ENROLL_ALPN), self.made["newcomer"])
        for alpn in ((), (b"http/1.1",)):
            self.assertEqual(self.door.choose(ClientHello(HOST, alpn), PEER), NO_APPLICATION_PROTOCOL)
        self.assertEqual(self.browsers, [])

    def test_tunnels_show_certificates(self) -> None:
        """A tunnel's client has to show a connector's certificate, a newcomer has none."""
        self.door.show(self.identity)
        self.door.show_newcomers(self.identity)
        tunnel = self.door.choose(ClientHello(HOST, (TUNNEL_ALPN,)), PEER)
        newcomer = self.door.choose(ClientHello(HOST, (ENROLL_ALPN,)), PEER)
        assert isinstance(tunnel, Route) and isinstance(newcomer, Route)
        self.assertEqual(tunnel.context.client_roles, frozenset({"connector"}))
        self.assertEqual(newcomer.context.client_roles, frozenset())

    def test_not_yet(self) -> None:
        """Before there is a certificate to show, or where tunnels end elsewhere, there are none."""
        hello = ClientHello(HOST, (TUNNEL_ALPN,))
        self.assertEqual(self.door.choose(hello, PEER), NO_APPLICATION_PROTOCOL)
        self.door = self.make_door(new_folder(self.mktemp()), tunnels=False)
        self.door.show(self.identity)
        self.door.show_newcomers(self.identity)
        self.assertEqual(self.door.choose(hello, PEER), NO_APPLICATION_PROTOCOL)
        self.assertIs(self.built(HOST, ENROLL_ALPN), self.made["newcomer"])
