"""
Tests of L{appproxy.pki.certificates} and L{appproxy.pki.issuing}.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki.certificates import (
    CLIENT_USAGE,
    CONNECTORS_ISSUER,
    INFRASTRUCTURE_ISSUER,
    SERVER_USAGE,
    BadCertificate,
    RequestRefused,
    Role,
    chain_from_pem,
    host_names,
    issuer_fits_role,
    key_from_pem,
    key_to_pem,
    make_key,
    make_request,
    moment,
    opened_groups,
    read_request,
    verify_chain,
)
from appproxy.pki.issuing import Issuer, make_certificate, make_issuer, make_root
from tests.pki.support import DAY, HOST, NOW, names_of, usages_of


class Hierarchy:
    """A root and its two issuers."""

    def __init__(self) -> None:
        self.root = make_root(make_key(), NOW)
        self.connectors = self.issuer(CONNECTORS_ISSUER)
        self.infrastructure = self.issuer(INFRASTRUCTURE_ISSUER)

    def issuer(self, name: str) -> Issuer:
        """An issuer of this name under the root."""
        key = make_key()
        return Issuer(make_issuer(name, key.public_key(), self.root, NOW), key)

    def chain(self, issuer: Issuer, role: Role, host: str = "") -> list[x509.Certificate]:
        """A holder's certificate with its issuer's."""
        holder = make_certificate(issuer, make_key().public_key(), role, "abc", NOW, host_name=host)
        return [holder, issuer.certificate]


OURS = Hierarchy()


class RequestTests(SynchronousTestCase):
    """Signing requests."""

    def refused(self, pem: bytes) -> str:
        """Why a request is refused."""
        with self.assertRaises(RequestRefused) as caught:
            read_request(pem)
        return str(caught.exception.reason)

    def request(self, subject: str | None = None, extension: x509.ExtensionType | None = None) -> bytes:
        """A signing request that names something."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
        if extension is not None:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def test_ours(self) -> None:
        """A request that we make asks for nothing but its key."""
        key = make_key()
        self.assertEqual(read_request(make_request(key)), key.public_key())

    def test_names_something(self) -> None:
        """A request that names anybody, in subject or extension, is refused, not corrected."""
        self.assertEqual(self.refused(self.request("connector-1")), "csr_names")
        uri = x509.UniformResourceIdentifier("appproxy:edge:1")
        for extension in (
            x509.SubjectAlternativeName([uri]),
            x509.SubjectAlternativeName([x509.DNSName(HOST)]),
            x509.BasicConstraints(ca=True, path_length=None),
            x509.ExtendedKeyUsage([SERVER_USAGE]),
        ):
            self.assertEqual(self.refused(self.request(extension=extension)), "csr_names")

    def test_attributes(self) -> None:
        """A request with an attribute, such as a challenge password, is refused."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"x")
        pem = builder.sign(make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.assertEqual(self.refused(pem), "csr_names")

    def test_other_keys(self) -> None:
        """Only keys on P-256 get certificates."""
        empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
            pem = empty.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            self.assertEqual(self.refused(pem), "csr_key")

    def test_not_signed_by_its_key(self) -> None:
        """Who does not have the key cannot ask for it."""
        request = x509.load_pem_x509_csr(make_request(make_key()))
        der = bytearray(request.public_bytes(serialization.Encoding.DER))
        key = request.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        other = (
            make_key()
            .public_key()
            .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        )
        forged = x509.load_der_x509_csr(bytes(der).replace(key, other))
        self.assertEqual(self.refused(forged.public_bytes(serialization.Encoding.PEM)), "csr_signature")

    def test_junk(self) -> None:
        """Junk is refused, however long."""
        for pem in (b"", b"junk", b"\xff" * 100, make_request(make_key())[:-60], b" " * 100_000):
            self.assertEqual(self.refused(pem), "csr_unreadable")


class ShapeTests(SynchronousTestCase):
    """What is in our certificates."""

    def test_connector(self) -> None:
        """A connector's certificate is that of a client only: its role and id, no DNS name, thirty days."""
        (holder, issuer) = OURS.chain(OURS.connectors, "connector", HOST)
        self.assertEqual(names_of(holder), ["appproxy:connector:abc"])
        self.assertEqual(usages_of(holder), ["clientAuth"])
        self.assertEqual(usages_of(issuer), ["clientAuth"])
        self.assertEqual(len(holder.subject), 0)
        self.assertEqual(holder.not_valid_after_utc.timestamp(), NOW + 30 * DAY)
        self.assertEqual(holder.not_valid_before_utc.timestamp(), NOW - 300)

    def test_edge(self) -> None:
        """An edge's certificate has its role, the connect host, the groups it may open, and both usages."""
        holder = make_certificate(
            OURS.infrastructure,
            make_key().public_key(),
            "edge",
            "abc",
            NOW,
            host_name=HOST,
            groups=["hq", "lab"],
        )
        self.assertEqual(
            names_of(holder), ["appproxy:edge:abc", HOST, "appproxy-group:hq", "appproxy-group:lab"]
        )
        self.assertEqual(usages_of(holder), ["serverAuth", "clientAuth"])
        self.assertEqual(host_names(holder), (HOST,))
        self.assertEqual(opened_groups(holder), {"hq", "lab"})

    def test_authorities(self) -> None:
        """The root signs issuers, issuers sign holders, holders sign nothing; every serial is its own."""
        certificates = [
            OURS.root.certificate,
            OURS.connectors.certificate,
            OURS.chain(OURS.connectors, "connector")[0],
        ]
        constraints = [
            each.extensions.get_extension_for_class(x509.BasicConstraints).value for each in certificates
        ]
        self.assertEqual(
            [(each.ca, each.path_length) for each in constraints], [(True, 1), (True, 0), (False, None)]
        )
        self.assertEqual(len({each.serial_number for each in certificates}), 3)

    def test_openssl_agrees(self) -> None:
        """OpenSSL, which checks the tunnels' chains, accepts ours and none of another CA."""
        for root, accepted in ((OURS.root, True), (Hierarchy().root, False)):
            trusted = crypto.X509Store()
            trusted.add_cert(crypto.X509.from_cryptography(root.certificate))
            trusted.set_time(moment(NOW))
            for chain in (OURS.chain(OURS.connectors, "connector"), OURS.chain(OURS.infrastructure, "edge")):
                holder, issuer = map(crypto.X509.from_cryptography, chain)
                context = crypto.X509StoreContext(trusted, holder, [issuer])
                if accepted:
                    context.verify_certificate()
                else:
                    self.assertRaises(crypto.X509StoreContextError, context.verify_certificate)

    def test_key_pem(self) -> None:
        """A private key is read as it was written; other things are refused."""
        key = make_key()
        self.assertEqual(key_from_pem(key_to_pem(key)).public_key(), key.public_key())
        for pem in (b"", b"junk", make_request(key)):
            self.assertRaises(BadCertificate, key_from_pem, pem)

    def test_chain_pem(self) -> None:
        """A chain that is none, or far too large, is refused."""
        for pem in (b"", b"junk", b"x" * 20_000):
            self.assertRaises(BadCertificate, chain_from_pem, pem)


class VerifyTests(SynchronousTestCase):
    """Checking of chains."""

    def refused(
        self,
        chain: list[x509.Certificate],
        *,
        roles: tuple[str, ...] = ("connector",),
        now: float = NOW,
        host: str | None = None,
        server: bool = False,
    ) -> str:
        """Why a chain is refused."""
        usage = SERVER_USAGE if server else CLIENT_USAGE
        with self.assertRaises(BadCertificate) as caught:
            verify_chain(chain, OURS.root.certificate, roles=roles, usage=usage, now=now, host_name=host)
        return str(caught.exception)

    def test_good(self) -> None:
        """A chain of ours says who its holder is, with or without the root, in any order of issuers."""
        holder, issuer = OURS.chain(OURS.infrastructure, "edge", HOST)
        root = OURS.root.certificate
        for chain in ([holder, issuer], [holder, issuer, root], [holder, root, issuer]):
            for usage in (SERVER_USAGE, CLIENT_USAGE):
                peer = verify_chain(
                    chain, root, roles=["edge", "relay"], usage=usage, now=NOW, host_name=HOST
                )
                self.assertEqual((peer.role, peer.id), ("edge", "abc"))

    def test_foreign(self) -> None:
        """A chain of another CA is refused, though every name in it is right."""
        theirs = Hierarchy()
        self.assertIn("our CA", self.refused(theirs.chain(theirs.connectors, "connector")))
        chain = theirs.chain(theirs.connectors, "connector")
        mixed = [chain[0], OURS.connectors.certificate, OURS.root.certificate, theirs.root.certificate]
        self.assertIn("our CA", self.refused(mixed))

    def test_incomplete(self) -> None:
        """A chain without its issuer, or without anything, is refused."""
        self.refused([])
        self.refused(OURS.chain(OURS.connectors, "connector")[:1])

    def test_issuers_are_not_holders(self) -> None:
        """An issuer's own certificate is nobody's."""
        self.refused([OURS.connectors.certificate, OURS.root.certificate])
        self.refused([OURS.root.certificate, OURS.root.certificate])

    def test_holder_as_issuer(self) -> None:
        """A connector cannot vouch for another one with its own key."""
        key = make_key()
        connector = make_certificate(OURS.connectors, key.public_key(), "connector", "abc", NOW)
        forged = make_certificate(Issuer(connector, key), make_key().public_key(), "connector", "xyz", NOW)
        self.refused([forged, connector, OURS.connectors.certificate, OURS.root.certificate])

    def test_wrong_role(self) -> None:
        """A connector does not pass for an edge, nor an edge for a connector."""
        self.refused(OURS.chain(OURS.connectors, "connector"), roles=("edge", "relay"))
        self.refused(OURS.chain(OURS.infrastructure, "edge", HOST), roles=("connector",))

    def test_wrong_issuer(self) -> None:
        """The connectors' issuer, which is online, cannot make edges or relays; nor the other connectors."""
        for role in ("edge", "relay"):
            chain = OURS.chain(OURS.connectors, role, HOST)
            self.assertFalse(issuer_fits_role(chain[0], role))
            self.assertIn("not that of", self.refused(chain, roles=("edge", "relay")))
            self.assertIn("not meant", self.refused(chain, roles=("edge", "relay"), server=True))
        self.refused(OURS.chain(OURS.infrastructure, "connector"))

    def test_connector_is_no_server(self) -> None:
        """A connector's certificate is refused on a server, whatever role is asked for."""
        self.assertIn("not meant", self.refused(OURS.chain(OURS.connectors, "connector"), server=True))

    def test_without_role(self) -> None:
        """A certificate of our CA that carries no role, or two, is refused."""
        for count in (0, 2):
            uris = [x509.UniformResourceIdentifier(f"appproxy:connector:{n}") for n in range(count)]
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([]))
                .issuer_name(OURS.connectors.certificate.subject)
                .public_key(make_key().public_key())
                .serial_number(5)
                .not_valid_before(moment(NOW - DAY))
                .not_valid_after(moment(NOW + DAY))
                .add_extension(x509.ExtendedKeyUsage([CLIENT_USAGE]), critical=False)
            )
            if uris:
                builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=True)
            holder = builder.sign(OURS.connectors.key, hashes.SHA256())
            self.assertIn("not that of", self.refused([holder, OURS.connectors.certificate]))

    def test_without_usage(self) -> None:
        """A certificate without extended key usage is good for nothing, rather than for everything."""
        holder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(OURS.connectors.certificate.subject)
            .public_key(make_key().public_key())
            .serial_number(5)
            .not_valid_before(moment(NOW - DAY))
            .not_valid_after(moment(NOW + DAY))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier("appproxy:connector:a")]), True
            )
            .sign(OURS.connectors.key, hashes.SHA256())
        )
        self.assertIn("not meant", self.refused([holder, OURS.connectors.certificate]))

    def test_time(self) -> None:
        """Too early and too late are refused; a clock five minutes behind is not."""
        chain = OURS.chain(OURS.connectors, "connector")
        for now in (NOW - 301, NOW + 30 * DAY + 1):
            self.assertIn("valid from", self.refused(chain, now=now))
        for now in (NOW - 299, NOW + 30 * DAY - 1):
            verify_chain(chain, OURS.root.certificate, roles=["connector"], usage=CLIENT_USAGE, now=now)

    def test_host(self) -> None:
        """Another host's certificate is refused."""
        chain = OURS.chain(OURS.infrastructure, "edge", "other.example.com")
        self.assertIn(HOST, self.refused(chain, roles=("edge",), host=HOST, server=True))
