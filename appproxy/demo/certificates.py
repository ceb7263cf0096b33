"""
A certificate for C{*.demo.localhost} from an authority made for the purpose.

The authority may vouch for nothing else (name constraints), and its key is
forgotten as soon as it has signed: to trust it is safe.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appproxy.pki.issuing import key_usage

LIFETIME: Final = timedelta(days=365)
"""Browsers refuse server certificates that are valid for more than 398 days."""

RENEWED_BEFORE: Final = timedelta(days=14)


def ensure_certificate(
    domain: str, ca_file: Path, certificate_file: Path, now: float, addresses: Sequence[str] = ()
) -> None:
    """
    Make CA and certificate, unless those that are there last for two more weeks.

    @param domain: is covered itself, and every name right below it.
    @param ca_file: receives the authority's certificate, for browsers to trust.
    @param certificate_file: receives chain and key, readable by the owner only.
    @param now: seconds since the epoch.
    @param addresses: IP addresses that are covered, too.
    """
    time = datetime.fromtimestamp(now, UTC)
    if _lasts(ca_file, certificate_file, domain, time):
        return
    ca, chain_and_key = make_certificate(domain, time, addresses)
    certificate_file.parent.mkdir(parents=True, exist_ok=True)
    _write(ca_file, ca, 0o644)
    _write(certificate_file, chain_and_key, 0o600)


def make_certificate(domain: str, time: datetime, addresses: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """The authority's certificate, and certificate with key for C{domain}; all PEM."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(f"AppProxy demo, only for {domain}")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), time)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints(
                [x509.DNSName(domain), *(x509.IPAddress(ip_network(each)) for each in addresses)], None
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [x509.DNSName(domain), x509.DNSName(f"*.{domain}")]
    names += [x509.IPAddress(ip_address(each)) for each in addresses]
    certificate = (
        _builder(_name(domain), ca_name, key.public_key(), time)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ca.public_bytes(Encoding.PEM), certificate.public_bytes(Encoding.PEM) + private


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, time: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(time - timedelta(hours=1))
        .not_valid_after(time + LIFETIME)
    )


def _lasts(ca_file: Path, certificate_file: Path, domain: str, time: datetime) -> bool:
    try:
        ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:
        # Missing, cut off, another CA's: whatever it is, new ones are made.
        return False
    covered = domain in names.get_values_for_type(x509.DNSName)
    return covered and certificate.not_valid_after_utc - time > RENEWED_BEFORE


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
