"""
Reading and checking of keys, requests and certificates; nothing here can sign one.

Our hierarchy has exactly three levels, so a chain is checked by its definition
(root, issuer, holder) rather than by a path search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from appproxy.transport.contexts import BadCertificate, load_certificates
from appproxy.transport.peer import PeerIdentity, identity_of

__all__ = [
    "CLIENT_USAGE",
    "CONNECTORS_ISSUER",
    "GROUP_URI",
    "INFRASTRUCTURE_ISSUER",
    "ISSUER_OF_ROLE",
    "ROLES",
    "SERVER_USAGE",
    "BadCertificate",
    "RequestRefused",
    "Role",
    "certificate_to_pem",
    "chain_from_pem",
    "fingerprint",
    "host_names",
    "is_authority",
    "is_issued_by",
    "is_valid_at",
    "issuer_fits_role",
    "key_digest",
    "key_from_pem",
    "key_to_pem",
    "make_key",
    "make_request",
    "moment",
    "opened_groups",
    "read_request",
    "rfc3339",
    "verify_chain",
]

Role = Literal["connector", "edge", "relay"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

CONNECTORS_ISSUER: Final = "appproxy connectors issuer"
INFRASTRUCTURE_ISSUER: Final = "appproxy infrastructure issuer"
ISSUER_OF_ROLE: Final[dict[str, str]] = {
    "connector": CONNECTORS_ISSUER,
    "edge": INFRASTRUCTURE_ISSUER,
    "relay": INFRASTRUCTURE_ISSUER,
}
"""The common name of the only issuer that may vouch for a role. The root signs no
other issuers and these sign none at all, so in a verified chain the name decides."""

GROUP_URI: Final = "appproxy-group:"
"""Alternative names of an edge: the connector groups that it may open; C{*} is every one."""

SERVER_USAGE: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_USAGE: Final = ExtendedKeyUsageOID.CLIENT_AUTH

MAXIMUM_PEM_SIZE: Final = 16 << 10
"""A chain of ours has three certificates of half a KiB; a request is smaller."""


class RequestRefused(Exception):
    """
    A certificate signing request cannot be accepted.

    @ivar reason: C{csr_unreadable}, C{csr_signature}, C{csr_key} or C{csr_names}.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def moment(timestamp: float) -> datetime:
    """Seconds since the epoch as a date with its time zone."""
    return datetime.fromtimestamp(timestamp, UTC)


def rfc3339(at: datetime) -> str:
    """A date of L{UTC} to the second, written as everywhere else: with Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8, without a passphrase: files of keys are protected by their mode."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """
    @raise BadCertificate: if this is no private key on P-256.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise BadCertificate("a private key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadCertificate("a private key is not on P-256")
    return key


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 (hex) of a public key."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def make_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A signing request (PEM) that asks for nothing but this key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """
    The key of a signing request. A request may not name anything: who its
    holder is, the token says.

    @raise RequestRefused: with what is wrong.
    """
    try:
        if len(pem) > MAXIMUM_PEM_SIZE:
            raise ValueError("too large")
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        names = len(request.subject) + len(request.extensions) + len(list(request.attributes))
    except Exception as error:  # hostile input: whatever it makes the parser raise
        raise RequestRefused("csr_unreadable") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestRefused("csr_key")
    if not request.is_signature_valid:
        raise RequestRefused("csr_signature")
    if names:
        raise RequestRefused("csr_names")
    return key


def certificate_to_pem(*certificates: x509.Certificate) -> bytes:
    """Certificates one after the other."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def chain_from_pem(pem: bytes) -> tuple[x509.Certificate, ...]:
    """
    Read certificates, the holder's first.

    @raise BadCertificate: if there is none, or one cannot be read.
    """
    if len(pem) > MAXIMUM_PEM_SIZE:
        raise BadCertificate("a certificate chain is too large")
    return load_certificates(pem)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 (hex) of a certificate."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def host_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names of a certificate."""
    return tuple(_alternative_names(certificate).get_values_for_type(x509.DNSName))


def opened_groups(certificate: x509.Certificate) -> frozenset[str]:
    """The connector groups that the holder, an edge, may open; C{*} is every one."""
    uris = _alternative_names(certificate).get_values_for_type(x509.UniformResourceIdentifier)
    return frozenset(uri.removeprefix(GROUP_URI) for uri in uris if uri.startswith(GROUP_URI))


def issuer_fits_role(certificate: x509.Certificate, role: str) -> bool:
    """
    Whether the issuer that the certificate names may vouch for this role.

    Ask only of certificates whose chain was verified.
    """
    names = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [name.value for name in names] == [ISSUER_OF_ROLE.get(role)]


def verify_chain(
    chain: Sequence[x509.Certificate],
    root: x509.Certificate,
    *,
    roles: Collection[str],
    usage: ObjectIdentifier,
    now: float,
    host_name: str | None = None,
) -> PeerIdentity:
    """
    Check a chain against the one root that is trusted.

    @param chain: the holder's certificate, then the others in any order.
    @param roles: the roles that will do.
    @param usage: L{SERVER_USAGE} or L{CLIENT_USAGE}.
    @param host_name: a DNS name that must be there, exactly.
    @return: who the holder is.
    @raise BadCertificate: with what is wrong.
    """
    if not chain:
        raise BadCertificate("there is no certificate")
    holder = chain[0]
    issuer = _issuer(holder, chain, root)
    for certificate in (holder, issuer, root):
        _check_time(certificate, now)
    for certificate in (holder, issuer):
        _check_usage(certificate, usage)
    identity = identity_of(holder)
    if identity is None or identity.role not in roles or not issuer_fits_role(holder, identity.role):
        raise BadCertificate(f"the certificate is not that of a {' or '.join(sorted(roles))}")
    if host_name is not None and host_name not in host_names(holder):
        raise BadCertificate(f"the certificate is not for {host_name}")
    return identity


def _issuer(
    holder: x509.Certificate, chain: Sequence[x509.Certificate], root: x509.Certificate
) -> x509.Certificate:
    for candidate in chain[1:]:
        if (
            is_issued_by(holder, candidate)
            and is_issued_by(candidate, root)
            and is_authority(candidate)
            and not is_authority(holder)
        ):
            return candidate
    raise BadCertificate("the certificate was not issued under our CA")


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether this issuer signed it, by name and key."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def is_valid_at(certificate: x509.Certificate, now: float) -> bool:
    """Whether its time has come, and is not over."""
    return certificate.not_valid_before_utc <= moment(now) <= certificate.not_valid_after_utc


def _check_time(certificate: x509.Certificate, now: float) -> None:
    if not is_valid_at(certificate, now):
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        raise BadCertificate(f"a certificate is valid from {begin:%F %T} to {end:%F %T} UTC only")


def _check_usage(certificate: x509.Certificate, usage: ObjectIdentifier) -> None:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    if usage not in usages:
        raise BadCertificate("the certificate is not meant for this side of a connection")


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return x509.SubjectAlternativeName([])
