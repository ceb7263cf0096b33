"""
Contexts in the standard library's form, for our own TLS layer.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appproxy.transport.contexts import (
    CIPHERS,
    REFUSED_BY_OPENSSL,
    BadCertificate,
    ClientContext,
    KeyPair,
    ServerContext,
)
from appproxy.transport.forms import Forms

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_OPTIONS: Final = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_ECDH_USE


def _server(spec: ServerContext) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, spec.minimum_version, spec.alpn)
    _use(context, spec.pair)
    if not spec.tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if spec.authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, spec.authorities)
    return context


def _client(spec: ClientContext) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, spec.minimum_version, spec.alpn)
    # The dialer holds the host against the certificate itself, for every layer in the same way.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if spec.verify else ssl.CERT_NONE
    if spec.pair is not None:
        _use(context, spec.pair)
    if spec.trust_system:
        context.set_default_verify_paths()
    _trust(context, spec.authorities)
    return context


form_of: Final = Forms(_server, _client)
"""The L{ssl.SSLContext} of a context."""


def _context(protocol: int, minimum_version: str, alpn: tuple[bytes, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = _VERSIONS[minimum_version]
    context.options |= _OPTIONS
    context.set_ciphers(CIPHERS)
    if alpn:
        context.set_alpn_protocols([each.decode("ascii") for each in alpn])
    return context


def _use(context: ssl.SSLContext, pair: KeyPair) -> None:
    """The standard library reads keys from files only; this one is in memory, and has no name."""
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in pair.chain)
    key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with open(os.memfd_create("key", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(key + chain)
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except OSError:
            # ssl.SSLError is one too.
            raise BadCertificate(REFUSED_BY_OPENSSL) from None


def _trust(context: ssl.SSLContext, authorities: tuple[x509.Certificate, ...]) -> None:
    if authorities:
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in authorities)
        context.load_verify_locations(cadata=pem.decode("ascii"))
