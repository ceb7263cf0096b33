"""Tests of L{appproxy.transport.openssl_forms} and L{appproxy.transport.stdlib_forms}."""

from __future__ import annotations

import gc
import os
import ssl
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport import openssl_forms, stdlib_forms
from appproxy.transport.contexts import (
    TUNNEL_ALPN,
    BadCertificate,
    KeyPair,
    backend_client_context,
    server_context,
    server_context_of,
)
from tests.transport.loopback import OURS, WEB, WEB_CERTIFICATE, WEB_CHAIN, dial_context, tunnel_pair


def weak_pair() -> KeyPair:
    """A key that was good enough twenty years ago."""
    key = rsa.generate_private_key(65537, 1024)
    name, now = x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return KeyPair((builder.sign(key, hashes.SHA256()),), key)


class FormsTests(SynchronousTestCase):
    """Both libraries make the same of a context."""

    def test_made_once(self) -> None:
        """A form is made once, and goes with its context."""
        for form_of in (openssl_forms.form_of, stdlib_forms.form_of):
            context = server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes())
            form: Any = form_of(context)
            self.assertIs(form, form_of(context))
            gone = weakref.ref(context)
            del context
            gc.collect()
            self.assertIsNone(gone())

    def test_weak_key(self) -> None:
        """What OpenSSL refuses is refused by name, and not later."""
        context = server_context_of(weak_pair())
        for form_of in (openssl_forms.form_of, stdlib_forms.form_of):
            with self.assertRaisesRegex(BadCertificate, "too weak"):
                form_of(context)

    def test_no_file_left(self) -> None:
        """The key that the standard library reads from a file was never in a folder, and is closed."""
        before = len(os.listdir("/proc/self/fd"))
        stdlib_forms.form_of(server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes()))
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_policy(self) -> None:
        """Versions, options, tickets and verification are those of the context."""
        web = stdlib_forms.form_of(
            server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes(), minimum_version="1.2")
        )
        self.assertEqual(web.minimum_version, ssl.TLSVersion.TLSv1_2)
        self.assertEqual(web.verify_mode, ssl.CERT_NONE)
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
            self.assertTrue(web.options & option)
        for cipher in web.get_ciphers():
            self.assertTrue(cipher["aead"], cipher["name"])
            self.assertTrue(cipher["name"].startswith(("TLS_", "ECDHE-")), cipher["name"])
        tunnel = stdlib_forms.form_of(
            server_context(*tunnel_pair(), alpn=(TUNNEL_ALPN,), client_ca_pem=OURS.pem)
        )
        self.assertEqual(tunnel.minimum_version, ssl.TLSVersion.TLSv1_3)
        self.assertEqual(tunnel.verify_mode, ssl.CERT_REQUIRED)
        self.assertEqual(tunnel.num_tickets, 0)
        self.assertTrue(tunnel.options & ssl.OP_NO_TICKET)
        self.assertEqual(len(tunnel.get_ca_certs()), 1)

    def test_client_policy(self) -> None:
        """A tunnel's client trusts the pinned CA alone; a backend's also the system's, or checks nothing."""
        tunnel = stdlib_forms.form_of(dial_context())
        self.assertEqual(tunnel.minimum_version, ssl.TLSVersion.TLSv1_3)
        self.assertEqual((tunnel.verify_mode, len(tunnel.get_ca_certs())), (ssl.CERT_REQUIRED, 1))
        backend = stdlib_forms.form_of(backend_client_context([WEB.cert_pem.bytes()], True, "a.example"))
        self.assertEqual(backend.verify_mode, ssl.CERT_REQUIRED)
        unchecked = stdlib_forms.form_of(backend_client_context([], False, "a.example"))
        self.assertEqual((unchecked.verify_mode, unchecked.get_ca_certs()), (ssl.CERT_NONE, []))
