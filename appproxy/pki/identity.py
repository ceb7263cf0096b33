"""
What a connector, relay or edge is: its key, certificate, CA, and whom to dial.

The key is made where it stays. Nothing here can issue certificates.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from appproxy.pki.certificates import (
    CLIENT_USAGE,
    ROLES,
    BadCertificate,
    certificate_to_pem,
    chain_from_pem,
    fingerprint,
    key_from_pem,
    key_to_pem,
    make_key,
    make_request,
    moment,
    verify_chain,
)
from appproxy.pki.trust import root_of
from appproxy.store.files import read_private, sync_directory, write_private
from appproxy.transport.peer import identity_of

IDENTITY_FOLDER: Final = "identity"
"""Where an edge keeps its own, beside its store."""

KEY_FILE: Final = "key.pem"
CERTIFICATE_FILE: Final = "certificate.pem"
CA_FILE: Final = "ca.pem"
ENROLMENT_FILE: Final = "enrolment.json"
_NEW_KEY_FILE: Final = "new-key.pem"

_RENEWED_AT: Final = 2 / 3
"""Of a certificate's life: leaves ten of thirty days to notice that renewal fails."""

_ENROLMENT_VERSION: Final = 1


class NotEnrolled(Exception):
    """There is no usable identity; the message says what to do."""


@dataclass(frozen=True)
class Enrolment:
    """
    What was agreed at enrolment, beside the certificate.

    @ivar addresses: C{host:port} of edges or relays to dial.
    @ivar connect_host: the name that their certificates carry.
    """

    name: str
    group: str
    addresses: tuple[str, ...]
    connect_host: str

    def encode(self) -> bytes:
        """JSON for the file."""
        return json.dumps({"v": _ENROLMENT_VERSION, **asdict(self)}, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> Enrolment:
        """
        The reverse of L{encode}.

        @raise ValueError: if it is not what L{encode} writes.
        """
        plain = json.loads(content)
        if not isinstance(plain, dict) or plain.pop("v", None) != _ENROLMENT_VERSION:
            raise ValueError("not an enrolment of this version")
        addresses = plain.pop("addresses", None)
        if set(plain) != {"name", "group", "connect_host"} or not isinstance(addresses, list):
            raise ValueError("not an enrolment")
        if not all(isinstance(text, str) for text in (*plain.values(), *addresses)):
            raise ValueError("an enrolment holds texts")
        return cls(addresses=tuple(addresses), **plain)


@dataclass(frozen=True)
class Identity:
    """
    An identity as it stands in its folder. A renewed one is a new object.

    @ivar chain: the holder's certificate, then its issuers.
    @ivar roots: the only CAs that are trusted, the newest last; more than one while one takes over.
    """

    directory: Path
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]
    enrolment: Enrolment
    role: str
    id: str

    @property
    def name(self) -> str:
        """What administrators call the holder."""
        return self.enrolment.name

    @property
    def group(self) -> str:
        """The connector group at enrolment; the catalog says which one holds now."""
        return self.enrolment.group

    @property
    def addresses(self) -> tuple[str, ...]:
        """C{host:port} of edges or relays to dial."""
        return self.enrolment.addresses

    @property
    def connect_host(self) -> str:
        """The name that the certificates of edges and relays carry."""
        return self.enrolment.connect_host

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8."""
        return key_to_pem(self.key)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuers."""
        return certificate_to_pem(*self.chain)

    @property
    def ca_pem(self) -> bytes:
        """The roots."""
        return certificate_to_pem(*self.roots)

    @property
    def root_hashes(self) -> tuple[str, ...]:
        """SHA-256 (hex) of each root."""
        return tuple(map(fingerprint, self.roots))

    @property
    def is_outdated(self) -> bool:
        """Whether there is a newer CA to have a certificate of."""
        return root_of(self.chain, self.roots) != self.roots[-1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the certificate."""
        return fingerprint(self.chain[0])

    @property
    def expires_at(self) -> float:
        """When the certificate ends, in seconds since the epoch."""
        return self.chain[0].not_valid_after_utc.timestamp()

    @property
    def renewal_at(self) -> float:
        """When two thirds of the certificate's life are over."""
        begin = self.chain[0].not_valid_before_utc.timestamp()
        return begin + (self.expires_at - begin) * _RENEWED_AT

    def renewal_due(self, now: float) -> bool:
        """Whether it is time to ask for a new certificate."""
        return now >= self.renewal_at

    def is_expired(self, now: float) -> bool:
        """Whether the certificate is of no use any more: only enrolment helps."""
        return moment(now) > self.chain[0].not_valid_after_utc

    def check(self, role: str, now: float) -> None:
        """
        @raise NotEnrolled: if this is not an identity for C{role}, or not any longer.
        """
        if self.role != role:
            raise NotEnrolled(f"the identity is that of a {self.role}, not of a {role}")
        if self.is_expired(now):
            raise NotEnrolled(f"the {role}'s certificate has expired: run `appproxy enroll` again")

    def csr(self) -> bytes:
        """A signing request (PEM) for the key that is there."""
        return make_request(self.key)

    def accept(self, chain_pem: bytes, now: float) -> Identity:
        """
        Put a renewed certificate in place.

        @return: the identity with it.
        @raise BadCertificate: if it is not for this key, role and id, or not of our CA;
            then everything stays as it is.
        @raise OSError: if it cannot be written.
        """
        chain = chain_from_pem(chain_pem)
        renewed = _assemble(self.directory, self.key, chain, self.roots, self.enrolment)
        verify_chain(chain, root_of(chain, self.roots), roles=[self.role], usage=CLIENT_USAGE, now=now)
        if renewed.id != self.id:
            raise BadCertificate("the new certificate is somebody else's")
        write_private(self.directory / CERTIFICATE_FILE, chain_pem)
        return renewed

    def with_roots(self, roots: Sequence[x509.Certificate]) -> Identity:
        """
        Trust these from now on, and as long as it needs to, the one that our own certificate is of.

        @param roots: the newest last.
        @raise OSError: if they cannot be written.
        """
        own = root_of(self.chain, self.roots)
        kept = tuple(roots) if own in roots else (own, *roots)
        if kept == self.roots:
            return self
        write_private(self.directory / CA_FILE, certificate_to_pem(*kept))
        return _assemble(self.directory, self.key, self.chain, kept, self.enrolment)

    def with_addresses(self, addresses: Sequence[str]) -> Identity:
        """
        Keep other addresses to dial from now on.

        @raise OSError: if they cannot be written.
        """
        enrolment = Enrolment(self.name, self.group, tuple(addresses), self.connect_host)
        write_private(self.directory / ENROLMENT_FILE, enrolment.encode())
        return _assemble(self.directory, self.key, self.chain, self.roots, enrolment)


def create_key_and_csr(directory: Path) -> bytes:
    """
    Make the key of a new identity and a signing request for it.

    The key waits beside the one in use until L{save}; asked again before that,
    the same key serves: so a repeated enrolment gets the same certificate.

    @raise OSError: if the folder cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = directory / _NEW_KEY_FILE
    if not waiting.exists():
        write_private(waiting, key_to_pem(make_key()))
    return make_request(key_from_pem(read_private(waiting)))


def save(directory: Path, chain_pem: bytes, ca_pem: bytes, enrolment: Enrolment, now: float) -> Identity:
    """
    Put the identity in place that belongs to the key of L{create_key_and_csr}.

    @raise BadCertificate: if the certificate is not for this key, or not of this
        CA; then everything stays as it is.
    @raise OSError: if it cannot be written.
    """
    key = key_from_pem(read_private(directory / _NEW_KEY_FILE))
    roots, chain = chain_from_pem(ca_pem), chain_from_pem(chain_pem)
    identity = _assemble(directory, key, chain, roots, enrolment)
    verify_chain(chain, root_of(chain, roots), roles=ROLES, usage=CLIENT_USAGE, now=now)
    write_private(directory / CA_FILE, ca_pem)
    write_private(directory / ENROLMENT_FILE, enrolment.encode())
    write_private(directory / CERTIFICATE_FILE, chain_pem)
    _promote_new_key(directory)
    return identity


def load(directory: Path) -> Identity:
    """
    Read an identity. Its certificate may have expired: see L{Identity.is_expired}.

    @raise NotEnrolled: if there is none, or it cannot be used.
    """
    try:
        chain = chain_from_pem((directory / CERTIFICATE_FILE).read_bytes())
        roots = chain_from_pem((directory / CA_FILE).read_bytes())
        enrolment = Enrolment.decode((directory / ENROLMENT_FILE).read_bytes())
        root_of(chain, roots)
        return _assemble(directory, _matching_key(directory, chain[0]), chain, roots, enrolment)
    except FileNotFoundError as error:
        raise NotEnrolled(f"{directory} holds no identity: run `appproxy enroll`") from error
    except (OSError, ValueError) as error:
        raise NotEnrolled(f"the identity in {directory} cannot be used: {error}") from error


def _matching_key(directory: Path, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    """The key in use; the waiting one if a crash came between the two last steps of L{save}."""
    waiting = directory / _NEW_KEY_FILE
    if waiting.exists():
        key = key_from_pem(read_private(waiting))
        if key.public_key() == certificate.public_key():
            _promote_new_key(directory)
            return key
    return key_from_pem(read_private(directory / KEY_FILE))


def _promote_new_key(directory: Path) -> None:
    os.replace(directory / _NEW_KEY_FILE, directory / KEY_FILE)
    sync_directory(directory)


def _assemble(
    directory: Path,
    key: ec.EllipticCurvePrivateKey,
    chain: tuple[x509.Certificate, ...],
    roots: tuple[x509.Certificate, ...],
    enrolment: Enrolment,
) -> Identity:
    if key.public_key() != chain[0].public_key():
        raise BadCertificate("the certificate does not belong to the key")
    holder = identity_of(chain[0])
    if holder is None:
        raise BadCertificate("the certificate carries no role of ours")
    return Identity(directory, key, chain, roots, enrolment, holder.role, holder.id)
