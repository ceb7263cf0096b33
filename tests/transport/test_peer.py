"""Tests of L{appproxy.transport.peer}."""

from __future__ import annotations

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.peer import PeerIdentity, identity_of, peer_identity
from tests.transport.support import Authority

AUTHORITY = Authority()


def identity(*uris: str) -> PeerIdentity | None:
    """What a certificate with these URIs says."""
    certificate, _ = AUTHORITY.issue(uris=uris, names=["a.example"])
    return identity_of(x509.load_pem_x509_certificate(certificate))


class IdentityTests(SynchronousTestCase):
    """The role in a certificate."""

    def test_roles(self) -> None:
        """Each of our roles is read with its id and the certificate's fingerprint."""
        for role in ("connector", "edge", "relay"):
            found = identity("https://a.example/", f"appproxy:{role}:Hq-1.example")
            assert found is not None
            self.assertEqual((found.role, found.id), (role, "Hq-1.example"))
            self.assertRegex(found.fingerprint, r"\A[0-9a-f]{64}\Z")

    def test_none(self) -> None:
        """No role, an unknown one, an odd id, or two at once: no identity."""
        for uris in (
            (),
            ("https://a.example/",),
            ("appproxy:admin:x",),
            ("appproxy:connector:",),
            ("appproxy:connector:a:b",),
            ("appproxy:connector:a/b",),
            ("appproxy:connector:a\n",),
            ("APPPROXY:connector:a",),
            ("xappproxy:connector:a",),
            ("appproxy:connector:" + "a" * 129,),
            ("appproxy:connector:a", "appproxy:edge:b"),
            ("appproxy:connector:a", "appproxy:nonsense"),
        ):
            self.assertIsNone(identity(*uris), uris)

    def test_no_names_at_all(self) -> None:
        """A certificate without alternative names has no identity."""
        certificate = x509.load_pem_x509_certificate(AUTHORITY.pem)
        self.assertIsNone(identity_of(certificate))

    def test_not_tls(self) -> None:
        """A transport that is no TLS has no identity."""

        class Plain:
            """Gives its socket as its handle."""

            def getHandle(self) -> object:
                return object()

        self.assertIsNone(peer_identity(Plain()))
