"""
TLS contexts: what each kind of connection may negotiate, and whom it trusts.

A context is chosen before its TLS object exists and never changed afterwards:
switching in a server name callback would keep the first one's verify mode.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL, crypto

HTTP_ALPN: Final = b"http/1.1"
TUNNEL_ALPN: Final = b"appproxy-tunnel/1"
ENROLL_ALPN: Final = b"appproxy-enroll/1"

CLIENT_ROLES: Final = frozenset({"connector", "edge"})
"""Who dials a tunnel."""

SERVER_ROLES: Final = frozenset({"edge", "relay"})
"""Where a tunnel may end."""

_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"
"""For TLS 1.2: forward secret and authenticated (RFC 9325, section 4.2). TLS 1.3 has no others."""

_OPTIONS: Final = SSL.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | SSL.OP_SINGLE_ECDH_USE
_MUST_VERIFY: Final = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
_MAXIMUM_CHAIN_DEPTH: Final = 5
_SESSION_ID_CONTEXT: Final = b"appproxy"
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
    @ivar client_roles: roles of which a client must prove one; empty: no certificate is asked for.
    """

    openssl: SSL.Context
    alpn: tuple[bytes, ...]
    client_roles: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class ClientContext:
    """
    How to dial one kind of server.

    @ivar host: the name (sent as SNI) or address that the server's certificate must have.
    @ivar verify: whether the certificate is checked at all.
    @ivar server_roles: roles of which the server must prove one; empty: none needed.
    """

    openssl: SSL.Context
    host: str
    alpn: tuple[bytes, ...]
    verify: bool = True
    server_roles: frozenset[str] = frozenset()


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
    mutual = client_ca_pem is not None
    context = _context(SSL.TLS_SERVER_METHOD, "1.3" if mutual else minimum_version)
    _use(context, pair)
    context.set_session_id(_SESSION_ID_CONTEXT)
    if mutual or not tickets:
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if client_ca_pem is not None:
        _demand_certificate(context, client_ca_pem)
    if alpn:
        context.set_alpn_select_callback(lambda _connection, offered: _first_common(alpn, offered))
    return ServerContext(context, alpn, client_roles if mutual else frozenset())


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
    context = _context(SSL.TLS_CLIENT_METHOD, "1.3")
    _use(context, load_key_pair(certificate_chain_pem, key_pem))
    _trust(context, load_certificates(ca_pem))
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(_MUST_VERIFY, _as_openssl_says)
    context.set_alpn_protos([TUNNEL_ALPN])
    return ClientContext(context, host, (TUNNEL_ALPN,), server_roles=server_roles)


def backend_client_context(ca_pems: Iterable[bytes], verify: bool, host: str) -> ClientContext:
    """
    For dialling a web application.

    @param ca_pems: CAs that are trusted besides the system's.
    @param verify: whether the server's chain and name are checked.
    @param host: its name, or its address.
    @raise BadCertificate: if a CA cannot be read.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, "1.2")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if verify:
        context.set_default_verify_paths()
        for pem in ca_pems:
            _trust(context, load_certificates(pem))
    context.set_verify(_MUST_VERIFY if verify else SSL.VERIFY_NONE, _as_openssl_says)
    context.set_alpn_protos([HTTP_ALPN])
    return ClientContext(context, host, (HTTP_ALPN,), verify=verify)


def _context(method: int, minimum_version: str) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_VERSIONS[minimum_version])
    context.set_options(_OPTIONS)
    # An idle connection keeps no buffers: 34 KiB each, times thousands.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_CIPHERS)
    context.set_verify_depth(_MAXIMUM_CHAIN_DEPTH)
    return context


def _use(context: SSL.Context, pair: KeyPair) -> None:
    try:
        context.use_certificate(pair.certificate)
        for each in pair.chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(pair.key)
        context.check_privatekey()
    except (SSL.Error, crypto.Error, TypeError):
        raise BadCertificate("OpenSSL refuses the certificate or its key (too weak?)") from None


def _trust(context: SSL.Context, authorities: Iterable[x509.Certificate]) -> None:
    store = context.get_cert_store()
    assert store is not None, "a context has a store"
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))


def _demand_certificate(context: SSL.Context, ca_pem: bytes) -> None:
    authorities = load_certificates(ca_pem)
    _trust(context, authorities)
    for authority in authorities:
        context.add_client_ca(authority)
    context.set_verify(_MUST_VERIFY, _as_openssl_says)


def _as_openssl_says(_connection: object, _certificate: object, _error: int, _depth: int, good: int) -> bool:
    return bool(good)


def _first_common(ours: tuple[bytes, ...], offered: list[bytes]) -> Any:
    # Not a refusal: the listener refused already whoever has nothing in common with us.
    return next((each for each in ours if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)
