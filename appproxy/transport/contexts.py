"""
TLS contexts: what each kind of connection may negotiate, and whom it trusts.

A context is chosen before its TLS object exists and never changed afterwards:
switching in a server name callback would keep the first one's verify mode.

This is what is wanted, whichever library does TLS: each has a module that
makes its own form of a context (C{openssl_forms}, C{stdlib_forms}).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

HTTP_ALPN: Final = b"http/1.1"
TUNNEL_ALPN: Final = b"appproxy-tunnel/1"
ENROLL_ALPN: Final = b"appproxy-enroll/1"

CLIENT_ROLES: Final = frozenset({"connector", "edge"})
"""Who dials a tunnel."""

SERVER_ROLES: Final = frozenset({"edge", "relay"})
"""Where a tunnel may end."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"
"""For TLS 1.2: forward secret and authenticated (RFC 9325, section 4.2). TLS 1.3 has no others."""

MAXIMUM_CHAIN_DEPTH: Final = 5

REFUSED_BY_OPENSSL: Final = "OpenSSL refuses the certificate or its key (too weak?)"
"""What the text of a L{BadCertificate} says of what could be read and is of no use all the same."""

_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class BadCertificate(ValueError):
    """A certificate, key or chain that cannot be used; the text says why, and shows no key."""


@dataclass(frozen=True)
class KeyPair:
    """
    A private key with the certificates that vouch for it, its own first.

    Built by L{load_key_pair}, which checks that they belong together.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def certificate(self) -> x509.Certificate:
        """The key's own certificate."""
        return self.chain[0]


@dataclass(frozen=True, eq=False)
class ServerContext:
    """
    How a server answers one kind of client.

    @ivar alpn: the protocols spoken; a client that offers others only is refused.
    @ivar minimum_version: C{"1.2"} or C{"1.3"}.
    @ivar authorities: to one of which a client's certificate must chain; empty: none is asked for.
    @ivar client_roles: roles of which a client must prove one; empty without C{authorities}.
    @ivar tickets: whether a client may resume.
    """

    pair: KeyPair
    alpn: tuple[bytes, ...]
    minimum_version: str = "1.2"
    authorities: tuple[x509.Certificate, ...] = ()
    client_roles: frozenset[str] = frozenset()
    tickets: bool = True


@dataclass(frozen=True, eq=False)
class ClientContext:
    """
    How to dial one kind of server.

    @ivar host: the name (sent as SNI) or address that the server's certificate must have.
    @ivar authorities: trusted besides the system's, if C{trust_system}.
    @ivar verify: whether the certificate is checked at all.
    @ivar server_roles: roles of which the server must prove one; empty: none needed.
    @ivar pair: our own certificate, if we have to show one.
    @ivar resume: whether sessions are resumed, where the layer can.
    """

    host: str
    alpn: tuple[bytes, ...]
    authorities: tuple[x509.Certificate, ...]
    minimum_version: str = "1.2"
    verify: bool = True
    trust_system: bool = False
    server_roles: frozenset[str] = frozenset()
    pair: KeyPair | None = None
    resume: bool = False


def load_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """
    All certificates of a PEM text.

    @raise BadCertificate: if there is none, or one cannot be read.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        raise BadCertificate("no readable certificate (PEM)") from None


def load_key_pair(chain_pem: bytes, key_pem: bytes) -> KeyPair:
    """
    A chain and its key.

    @param key_pem: the first private key in it counts; certificates beside it are ignored.
    @raise BadCertificate: if one is missing, encrypted or unreadable, or they do not match.
    """
    chain = load_certificates(chain_pem)
    found = _PRIVATE_KEY.search(key_pem)
    if found is None:
        raise BadCertificate("no private key (PEM)")
    try:
        key = serialization.load_pem_private_key(found[0], None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # TypeError: the key is encrypted.
        raise BadCertificate("the private key cannot be read, or is encrypted") from None
    if not isinstance(key, PrivateKey):
        raise BadCertificate("the private key is none of EC, RSA and Ed25519")
    if _public_bytes(key.public_key()) != _public_bytes(chain[0].public_key()):
        raise BadCertificate("the private key does not belong to the first certificate")
    return KeyPair(chain, key)


def _public_bytes(key: object) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))  # type: ignore[attr-defined]


def server_context(
    certificate_chain_pem: bytes,
    key_pem: bytes,
    *,
    minimum_version: str = "1.2",
    alpn: tuple[bytes, ...] = (HTTP_ALPN,),
    client_ca_pem: bytes | None = None,
    client_roles: frozenset[str] = CLIENT_ROLES,
    tickets: bool = True,
) -> ServerContext:
    """
    A server's context.

    @param minimum_version: C{"1.2"} or C{"1.3"}.
    @param client_ca_pem: demand a client certificate that chains to it, with one of C{client_roles}. Then
        TLS 1.3 alone is spoken and nothing is resumed: resumption skips the checks of the chain.
    @raise BadCertificate: if chain, key or CA cannot be used.
    """
    return server_context_of(
        load_key_pair(certificate_chain_pem, key_pem),
        minimum_version=minimum_version,
        alpn=alpn,
        client_ca_pem=client_ca_pem,
        client_roles=client_roles,
        tickets=tickets,
    )


def server_context_of(
    pair: KeyPair,
    *,
    minimum_version: str = "1.2",
    alpn: tuple[bytes, ...] = (HTTP_ALPN,),
    client_ca_pem: bytes | None = None,
    client_roles: frozenset[str] = CLIENT_ROLES,
    tickets: bool = True,
) -> ServerContext:
    """L{server_context} of a chain and key that are loaded already."""
    if client_ca_pem is None:
        return ServerContext(pair, alpn, minimum_version, tickets=tickets)
    authorities = load_certificates(client_ca_pem)
    return ServerContext(pair, alpn, "1.3", authorities, client_roles, tickets=False)


def tunnel_client_context(
    certificate_chain_pem: bytes,
    key_pem: bytes,
    ca_pem: bytes,
    host: str,
    *,
    server_roles: frozenset[str] = SERVER_ROLES,
) -> ClientContext:
    """
    For dialling a tunnel: TLS 1.3, our certificate, and nobody trusted but the pinned CA.

    @param host: the connect host's name, which the server's certificate must have.
    @raise BadCertificate: if chain, key or CA cannot be used.
    """
    return ClientContext(
        host,
        (TUNNEL_ALPN,),
        load_certificates(ca_pem),
        minimum_version="1.3",
        server_roles=server_roles,
        pair=load_key_pair(certificate_chain_pem, key_pem),
    )


def backend_client_context(ca_pems: Iterable[bytes], verify: bool, host: str) -> ClientContext:
    """
    For dialling a web application.

    @param ca_pems: CAs that are trusted besides the system's.
    @param verify: whether the server's chain and name are checked.
    @param host: its name, or its address.
    @raise BadCertificate: if a CA cannot be read.
    """
    authorities = tuple(each for pem in ca_pems for each in load_certificates(pem)) if verify else ()
    return ClientContext(host, (HTTP_ALPN,), authorities, verify=verify, trust_system=verify, resume=True)
