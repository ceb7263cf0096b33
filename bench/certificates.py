"""
A certificate authority for one run, and a server certificate: the same for every system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_LIFETIME: Final = timedelta(days=2)


@dataclass(frozen=True)
class Certificate:
    """
    Files of a server's certificate.

    @ivar chain: PEM: what a server shows.
    @ivar key: PEM: P-256, as is usual today.
    @ivar both: the two in one file.
    @ivar authority: what clients trust.
    """

    chain: Path
    key: Path
    both: Path
    authority: Path


def make_certificate(folder: Path, *names: str) -> Certificate:
    """
    Make an authority, and a certificate of it.

    @param folder: where the files go; made if there is none.
    @param names: DNS names, C{*} at the front allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _build("a benchmark's authority", "a benchmark's authority", authority_key, authority_key, ())
    certificate = _build("a benchmark", "a benchmark's authority", key, authority_key, names)
    made = Certificate(*(folder / name for name in ("chain.pem", "key.pem", "both.pem", "ca.pem")))
    chain = certificate.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    made.chain.write_bytes(chain)
    for path, content in ((made.key, private), (made.both, chain + private)):
        path.touch(0o600)
        path.write_bytes(content)
    return made


def _build(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(signer, SHA256())
