"""The synchronous HTTP of C{appproxy check --online}, against a real server."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import trustme
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.online import MAXIMUM_ANSWER_SIZE, Unreachable, get, tls_context
from appproxy.transport.addresses import HostPort


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        """A redirect, an endless body, or JSON."""
        self.send_response(302 if self.path == "/redirect" else 200)
        self.send_header("Location", "/")
        self.end_headers()
        self.wfile.write(
            b"x" * (2 * MAXIMUM_ANSWER_SIZE)
            if self.path == "/long"
            else b'{"path": "%s"}' % self.path.encode()
        )

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class GetTests(SynchronousTestCase):
    """L{get}."""

    def setUp(self) -> None:
        """A TLS server with a certificate of a private authority."""
        authority = trustme.CA()
        self.ca_file = Path(self.mktemp())
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("op.localhost").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"https://op.localhost:{self.server.server_port}"

    def test_get(self) -> None:
        """Path and query arrive; a private authority counts when it is named."""
        answer = get(f"{self.url}/a?b=c", tls_context(self.ca_file))
        self.assertEqual((answer.status, answer.json()), (200, {"path": "/a?b=c"}))
        self.assertTrue(answer.date.endswith("GMT"))

    def test_redirects_are_not_followed(self) -> None:
        """A redirect is an answer."""
        self.assertEqual(get(f"{self.url}/redirect", tls_context(self.ca_file)).status, 302)

    def test_certificate(self) -> None:
        """An unknown authority, or another name, is refused and said so."""
        error = self.assertRaises(Unreachable, get, self.url)
        self.assertIn("certificate is refused", str(error))
        other = self.url.replace("op.", "other.")
        error = self.assertRaises(Unreachable, get, other, tls_context(self.ca_file))
        self.assertIn("certificate is refused", str(error))
        self.assertRaises(Unreachable, tls_context, Path("none.pem"))

    def test_too_long(self) -> None:
        """An answer without end is not read to its end."""
        error = self.assertRaises(Unreachable, get, f"{self.url}/long", tls_context(self.ca_file))
        self.assertIn("too long", str(error))

    def test_nobody_there(self) -> None:
        """A closed port and a host without address are told apart."""
        error = self.assertRaises(Unreachable, get, "http://127.0.0.1:1/")
        self.assertIn("127.0.0.1:1 does not answer", str(error))
        error = self.assertRaises(Unreachable, get, "http://none.invalid/")
        self.assertIn("none.invalid has no address", str(error))

    def test_through(self) -> None:
        """The name can be asked at another address."""
        through = HostPort("127.0.0.1", self.server.server_port)
        self.assertEqual(
            get("https://op.localhost/x", tls_context(self.ca_file), through=through).status, 200
        )
