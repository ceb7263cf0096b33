"""
Tests of L{appproxy.relay.service}, L{appproxy.relay.door} and L{appproxy.relay.tap}.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from appproxy.config.daemon import EXIT_NOT_ENROLLED, EXIT_UNAVAILABLE, CannotStart
from appproxy.pki.certificates import Role, certificate_to_pem, key_from_pem
from appproxy.pki.identity import Enrolment, Identity, create_key_and_csr, load, save
from appproxy.pki.issuing import make_certificate
from appproxy.relay.door import RelayDoor
from appproxy.relay.service import RelayService
from appproxy.relay.tap import Options
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import ENROLL_ALPN, HTTP_ALPN, TUNNEL_ALPN
from appproxy.transport.peeking import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, Route
from tests.relay.support import HOST, ca

PEER = IPv4Address("TCP", "192.0.2.7", 50_000)


def enrolled(folder: Path, role: Role = "relay", made_at: float | None = None) -> Identity:
    """An identity in a folder, as enrolment leaves it."""
    create_key_and_csr(folder)
    key = key_from_pem((folder / "new-key.pem").read_bytes())
    issuer = ca().issuers[
        "appproxy connectors issuer" if role == "connector" else "appproxy infrastructure issuer"
    ]
    now = time.time() if made_at is None else made_at
    certificate = make_certificate(issuer, key.public_key(), role, "abc", now, host_name=HOST)
    chain = certificate_to_pem(certificate, issuer.certificate)
    return save(folder, chain, ca().pem, Enrolment("relay", "", (), HOST), now)


class DoorTests(SynchronousTestCase):
    """What a connection to the relay may be."""

    def test_choose(self) -> None:
        """Only tunnels for the connect host go on."""
        door = RelayDoor(lambda: self.fail("nobody is accepted before the handshake"))
        self.assertEqual(door.choose(ClientHello(HOST, (TUNNEL_ALPN,)), PEER), UNRECOGNIZED_NAME)
        door.show(enrolled(Path(self.mktemp())))
        route = door.choose(ClientHello(HOST, (TUNNEL_ALPN,)), PEER)
        assert isinstance(route, Route)
        self.assertEqual(route.context.client_roles, {"connector", "edge"})
        for name in ("other.example.com", None):
            self.assertEqual(door.choose(ClientHello(name, (TUNNEL_ALPN,)), PEER), UNRECOGNIZED_NAME)
        for alpn in ((), (HTTP_ALPN,), (ENROLL_ALPN,)):
            self.assertEqual(door.choose(ClientHello(HOST, alpn), PEER), NO_APPLICATION_PROTOCOL)


class ServiceTests(TestCase):
    """The daemon's start and end."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.identity = self.folder / "identity"

    def service(self, listen: str = "127.0.0.1:0") -> RelayService:
        """A relay of this folder."""
        config = self.folder / "relay.toml"
        config.write_text(
            f'identity = "identity"\n[listen]\nhttps = ["{listen}"]\n'
            '[metrics]\nlisten = "127.0.0.1:0"\n[limits]\ndrain_timeout = "1s"\n'
        )
        options = Options()
        options.parseOptions(["--config", str(config)])
        self.assertEqual(options.state_directory(), self.folder)
        return RelayService(reactor, options)

    def starting(self, service: RelayService) -> Deferred[None]:
        """Start it."""
        return Deferred.fromCoroutine(service.start())

    async def refusal(self, service: RelayService) -> CannotStart:
        """Why it does not start."""
        try:
            await self.starting(service)
        except CannotStart as error:
            return error
        finally:
            await service.stop()
        raise AssertionError("it starts")

    async def test_starts(self) -> None:
        """With an identity it listens, and stops again leaving nothing."""
        enrolled(self.identity)
        service = self.service()
        await self.starting(service)
        self.assertEqual(len(service._ports), 1)
        service.reload()
        self.assertEqual(service._tunnels(), {("",): 0})
        self.assertEqual(service._streams(), {})
        await service.stop()

    async def test_not_enrolled(self) -> None:
        """Without an identity there is nothing to start."""
        self.assertEqual((await self.refusal(self.service())).code, EXIT_NOT_ENROLLED)

    async def test_other_role(self) -> None:
        """A connector's identity makes no relay."""
        enrolled(self.identity, "connector")
        error = await self.refusal(self.service())
        self.assertEqual(error.code, EXIT_NOT_ENROLLED)
        self.assertIn("connector", str(error))

    async def test_expired(self) -> None:
        """Nor does one that has expired."""
        enrolled(self.identity, made_at=time.time() - 400 * 86400)
        self.assertEqual((await self.refusal(self.service())).code, EXIT_NOT_ENROLLED)

    async def test_port_taken(self) -> None:
        """A port that somebody else has is said."""
        enrolled(self.identity)
        first = self.service()
        await self.starting(first)
        port: Any = first._ports[0].getHost()
        error = await self.refusal(self.service(f"127.0.0.1:{port.port}"))
        self.assertEqual(error.code, EXIT_UNAVAILABLE)
        await first.stop()

    async def test_renewal(self) -> None:
        """A certificate that is due is asked for; the new one is kept and shown."""
        present = enrolled(self.identity, made_at=time.time() - 300 * 86400)
        service = self.service()
        await self.starting(service)
        asked: list[bytes] = []
        answer: Deferred[bytes] = Deferred()

        def ask(csr: bytes, roots: tuple[str, ...]) -> Deferred[bytes]:
            self.assertEqual(roots, present.root_hashes)
            asked.append(csr)
            return answer

        self.patch(service._edges.renewals, "of_relay", ask)
        service._renew_if_due()
        self.assertEqual(len(asked), 1)
        issuer = ca().issuers["appproxy infrastructure issuer"]
        made = make_certificate(issuer, present.key.public_key(), "relay", "abc", time.time(), host_name=HOST)
        answer.callback(certificate_to_pem(made, issuer.certificate))
        self.assertGreater(load(self.identity).expires_at, present.expires_at)
        service._renew_if_due()
        self.assertEqual(len(asked), 1)
        await service.stop()

    async def test_renewal_refused(self) -> None:
        """Without a new certificate the old one goes on, and it is asked again later."""
        present = enrolled(self.identity, made_at=time.time() - 300 * 86400)
        service = self.service()
        await self.starting(service)
        service._renew_if_due()
        self.assertEqual(load(self.identity).fingerprint, present.fingerprint)
        await service.stop()
