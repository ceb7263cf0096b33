"""
Making of certificates, as pure functions of keys, names and time.

The shape (design: the tunnel's certificates): one root; under it an issuer for
connectors, whose certificates can only be those of clients, and an issuer for
the infrastructure (edges and relays).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from appproxy.pki.certificates import (
    CLIENT_USAGE,
    CONNECTORS_ISSUER,
    GROUP_URI,
    INFRASTRUCTURE_ISSUER,
    SERVER_USAGE,
    Role,
    moment,
)

ROOT_LIFETIME: Final = timedelta(days=20 * 365)
ISSUER_LIFETIME: Final = timedelta(days=10 * 365)

LIFETIMES: Final[dict[Role, timedelta]] = {
    "connector": timedelta(days=30),
    # Renewing these needs a key that may be kept off the machine, so it has to be rare.
    "edge": timedelta(days=365),
    "relay": timedelta(days=365),
}

CLOCK_SKEW: Final = timedelta(minutes=5)
"""A certificate is valid this much before it was made, for peers whose clocks are behind."""

_ISSUER_USAGES: Final = {
    CONNECTORS_ISSUER: [CLIENT_USAGE],
    INFRASTRUCTURE_ISSUER: [SERVER_USAGE, CLIENT_USAGE],
}
"""An issuer's own usages bound those of what it signs: connectors are never servers."""


@dataclass(frozen=True)
class Issuer:
    """A certificate that signs others, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_root(key: ec.EllipticCurvePrivateKey, now: float) -> Issuer:
    """A new root. Its name carries no meaning: it is known by its hash."""
    name = _name("appproxy root")
    builder = _builder(key.public_key(), name, name, now, moment(now) + ROOT_LIFETIME)
    builder = _as_authority(builder, levels_below=1)
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def make_link(root: x509.Certificate, old: Issuer, now: float) -> x509.Certificate:
    """
    A root's key, certified by the root before it: by this whoever trusts the old one comes to trust
    the new one (RFC 4210, section 4.4). It signs nothing that anybody accepts.
    """
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey), "roots of ours have such keys"
    until = min(root.not_valid_after_utc, old.certificate.not_valid_after_utc)
    builder = _builder(key, root.subject, old.certificate.subject, now, until)
    return _signed(_as_authority(builder, levels_below=0), old)


def make_issuer(name: str, key: ec.EllipticCurvePublicKey, root: Issuer, now: float) -> x509.Certificate:
    """
    An issuer under a root.

    @param name: L{CONNECTORS_ISSUER} or L{INFRASTRUCTURE_ISSUER}.
    """
    until = min(moment(now) + ISSUER_LIFETIME, root.certificate.not_valid_after_utc)
    builder = _builder(key, _name(name), root.certificate.subject, now, until)
    builder = _as_authority(builder, levels_below=0)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_ISSUER_USAGES[name]), critical=False)
    return _signed(builder, root)


def make_certificate(
    issuer: Issuer,
    key: ec.EllipticCurvePublicKey,
    role: Role,
    holder_id: str,
    now: float,
    *,
    host_name: str = "",
    groups: Sequence[str] = (),
) -> x509.Certificate:
    """
    A certificate for a connector, an edge or a relay.

    The subject is empty: the holder is named only where it is looked for.

    @param host_name: the DNS name of a server; connectors have none.
    @param groups: the connector groups that an edge may open.
    """
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"appproxy:{role}:{holder_id}")]
    if role != "connector" and host_name:
        names.append(x509.DNSName(host_name))
    if role == "edge":
        names.extend(x509.UniformResourceIdentifier(GROUP_URI + group) for group in groups)
    until = min(moment(now) + LIFETIMES[role], issuer.certificate.not_valid_after_utc)
    builder = (
        _builder(key, x509.Name([]), issuer.certificate.subject, now, until)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_usages(role)), critical=False)
    )
    return _signed(builder, issuer)


def _usages(role: Role) -> list[ObjectIdentifier]:
    return [CLIENT_USAGE] if role == "connector" else [SERVER_USAGE, CLIENT_USAGE]


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    key: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, now: float, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(now) - CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _as_authority(builder: x509.CertificateBuilder, *, levels_below: int) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=levels_below), critical=True
    ).add_extension(key_usage(signs_certificates=True), critical=True)


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What a key is for: certificates alone, or handshakes alone (RFC 5280, section 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, issuer: Issuer) -> x509.Certificate:
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(authority_key, critical=False).sign(issuer.key, hashes.SHA256())
