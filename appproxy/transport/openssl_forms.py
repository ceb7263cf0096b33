"""
Contexts in pyOpenSSL's form, for Twisted's TLS.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL, crypto

from appproxy.transport.contexts import (
    CIPHERS,
    MAXIMUM_CHAIN_DEPTH,
    REFUSED_BY_OPENSSL,
    BadCertificate,
    ClientContext,
    KeyPair,
    ServerContext,
)
from appproxy.transport.forms import Forms

_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | SSL.OP_SINGLE_ECDH_USE
_MUST_VERIFY: Final = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
_SESSION_ID_CONTEXT: Final = b"appproxy"


def _server(spec: ServerContext) -> SSL.Context:
    context = _context(SSL.TLS_SERVER_METHOD, spec.minimum_version)
    _use(context, spec.pair)
    context.set_session_id(_SESSION_ID_CONTEXT)
    if not spec.tickets:
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if spec.authorities:
        _trust(context, spec.authorities)
        for authority in spec.authorities:
            context.add_client_ca(authority)
        context.set_verify(_MUST_VERIFY, _as_openssl_says)
    if spec.alpn:
        ours = spec.alpn
        context.set_alpn_select_callback(lambda _connection, offered: _first_common(ours, offered))
    return context


def _client(spec: ClientContext) -> SSL.Context:
    context = _context(SSL.TLS_CLIENT_METHOD, spec.minimum_version)
    if spec.pair is not None:
        _use(context, spec.pair)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if spec.trust_system:
        context.set_default_verify_paths()
    _trust(context, spec.authorities)
    context.set_verify(_MUST_VERIFY if spec.verify else SSL.VERIFY_NONE, _as_openssl_says)
    context.set_alpn_protos(list(spec.alpn))
    return context


form_of: Final = Forms(_server, _client)
"""The L{SSL.Context} of a context."""


def _context(method: int, minimum_version: str) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_VERSIONS[minimum_version])
    context.set_options(_OPTIONS)
    # An idle connection keeps no buffers: 34 KiB each, times thousands.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(CIPHERS.encode("ascii"))
    context.set_verify_depth(MAXIMUM_CHAIN_DEPTH)
    return context


def _use(context: SSL.Context, pair: KeyPair) -> None:
    try:
        context.use_certificate(pair.certificate)
        for each in pair.chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(pair.key)
        context.check_privatekey()
    except (SSL.Error, crypto.Error, TypeError):
        raise BadCertificate(REFUSED_BY_OPENSSL) from None


def _trust(context: SSL.Context, authorities: Iterable[x509.Certificate]) -> None:
    store = context.get_cert_store()
    assert store is not None, "a context has a store"
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))


def _as_openssl_says(_connection: object, _certificate: object, _error: int, _depth: int, good: int) -> bool:
    return bool(good)


def _first_common(ours: tuple[bytes, ...], offered: list[bytes]) -> Any:
    # Not a refusal: the listener refused already whoever has nothing in common with us.
    return next((each for each in ours if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)
