"""
Tests of L{appproxy.demo.certificates}.
"""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from appproxy.demo.certificates import LIFETIME, ensure_certificate


def handshake(ca: Path, chain_and_key: Path, host: str) -> ssl.SSLError | None:
    """A TLS client's view of the certificate under C{host}: why it is refused, if it is."""
    client_context = ssl.create_default_context(cafile=ca)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(chain_and_key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=host)
    server = server_context.wrap_bio(up, down, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            return error
    return None


class CertificateTests(SynchronousTestCase):
    """L{ensure_certificate}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.ca = self.folder / "ca.pem"
        self.certificate = self.folder / "certificates" / "demo.pem"
        self.now = datetime.now(UTC).timestamp()

    def make(self, domain: str = "demo.localhost", now: float | None = None) -> tuple[bytes, bytes]:
        """Both files as they are afterwards."""
        ensure_certificate(domain, self.ca, self.certificate, self.now if now is None else now)
        return self.ca.read_bytes(), self.certificate.read_bytes()

    def test_good_for_hosts(self) -> None:
        """A client that trusts the CA accepts the domain and every name right below it."""
        self.make()
        for host in ("demo.localhost", "portal.demo.localhost", "auth.demo.localhost"):
            self.assertIsNone(handshake(self.ca, self.certificate, host), host)

    def test_good_for_nothing_else(self) -> None:
        """Other names are refused, and the CA is bound to its domain."""
        ca, _ = self.make()
        for host in ("example.com", "a.b.demo.localhost"):
            error = handshake(self.ca, self.certificate, host)
            self.assertIsInstance(error, ssl.SSLCertVerificationError, host)
        constraints = x509.load_pem_x509_certificate(ca).extensions.get_extension_for_class(
            x509.NameConstraints
        )
        self.assertTrue(constraints.critical)
        self.assertEqual(constraints.value.permitted_subtrees, [x509.DNSName("demo.localhost")])

    def test_key_of_ca_is_gone(self) -> None:
        """Nothing on disk can sign another certificate."""
        self.make()
        self.assertEqual({each.name for each in self.folder.iterdir()}, {"ca.pem", "certificates"})
        self.assertNotIn(b"PRIVATE", self.ca.read_bytes())
        self.assertEqual(self.certificate.read_bytes().count(b"PRIVATE KEY"), 2)

    def test_private(self) -> None:
        """Only the owner reads the key."""
        self.make()
        self.assertEqual(stat.S_IMODE(self.certificate.stat().st_mode), 0o600)

    def test_kept(self) -> None:
        """What is good stays, so that a browser has to trust it once."""
        self.assertEqual(self.make(), self.make())

    def test_renewed(self) -> None:
        """What expires soon, is broken, or is for another domain is made anew."""
        first = self.make()
        late = self.make(now=self.now + LIFETIME.total_seconds() - 86400)
        self.assertNotEqual(first, late)
        self.certificate.write_bytes(b"broken")
        self.assertNotEqual(late, self.make())
        self.make("other.localhost")
        self.assertIsNone(handshake(self.ca, self.certificate, "x.other.localhost"))
