"""
Who is at the other end of a mutually authenticated connection.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

_ROLE_URI: Final = re.compile(r"appproxy:(connector|edge|relay):([A-Za-z0-9._-]{1,128})\Z")


@dataclass(frozen=True)
class PeerIdentity:
    """
    What a certificate of ours says of its holder.

    @ivar role: C{connector}, C{edge} or C{relay}.
    @ivar fingerprint: SHA-256 of the certificate, in hex.
    """

    role: str
    id: str
    fingerprint: str


def identity_of(certificate: x509.Certificate) -> PeerIdentity | None:
    """
    The identity in the one C{appproxy:ROLE:ID} URI of a certificate's alternative names.

    @return: L{None} without such a URI, and with more than one.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None
    uris = [
        uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri[:9] == "appproxy:"
    ]
    match = _ROLE_URI.match(uris[0]) if len(uris) == 1 else None
    if match is None:
        return None
    return PeerIdentity(match[1], match[2], certificate.fingerprint(hashes.SHA256()).hex())


def peer_certificate(transport: Any) -> x509.Certificate | None:
    """The certificate that the peer of a TLS transport showed and that was verified."""
    connection = transport.getHandle()
    if isinstance(connection, ssl.SSLObject):
        der = connection.getpeercert(True) if connection.context.verify_mode == ssl.CERT_REQUIRED else None
        return None if der is None else x509.load_der_x509_certificate(der)
    if not isinstance(connection, SSL.Connection) or not connection.get_verify_mode() & SSL.VERIFY_PEER:
        return None
    return connection.get_peer_certificate(as_cryptography=True)


def peer_identity(transport: Any) -> PeerIdentity | None:
    """
    The identity of a TLS transport's peer.

    @return: L{None} unless a certificate was verified against our CA and carries one of our roles.
    """
    certificate = peer_certificate(transport)
    return None if certificate is None else identity_of(certificate)
