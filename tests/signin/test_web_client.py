"""Tests of L{appproxy.signin.web_client}, over real TLS where that is the point."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import Any

import trustme
from treq.testing import RequestTraversalAgent
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from appproxy.signin import web_client
from appproxy.signin.web_client import (
    ANSWER_LIMIT,
    Answer,
    ProviderError,
    ProviderUnreachable,
    WebClient,
    json_object,
    provider_agent,
    provider_client,
)


class Pages(Resource):
    """A server with good and bad habits."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    def render(self, request: Request) -> bytes | int:
        """By path."""
        plain = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.headers.append(plain)
        self.bodies.append(request.content.read() if request.content else b"")
        request.setHeader(b"Content-Type", b'Application/JSON; charset="utf-8"')
        if request.path == b"/redirect":
            request.redirect(b"/elsewhere")
        elif request.path == b"/bomb":
            request.setHeader(b"Content-Encoding", b"gzip")
            return gzip.compress(b"x" * (50 * ANSWER_LIMIT))
        elif request.path == b"/huge":
            return b"x" * (3 * ANSWER_LIMIT)
        elif request.path == b"/silent":
            return NOT_DONE_YET
        elif request.path == b"/trickle":
            request.write(b"{")
            return NOT_DONE_YET
        return b'{"ok": true}'


class WebClientTests(SynchronousTestCase):
    """Bounded, and without memory."""

    def setUp(self) -> None:
        self.pages = Pages()
        self.clock = Clock()
        make: Any = RequestTraversalAgent
        self.agent = make(self.pages)
        self.web = WebClient(provider_client(self.agent), self.clock)

    def ask(self, path: str) -> Deferred[Answer]:
        """GET a path."""
        answer = self.web.get("https://login.example.com" + path)
        for _ in range(10):
            self.agent.flush()
        return answer

    def test_answer(self) -> None:
        """Status, type and body arrive."""
        answer = self.successResultOf(self.ask("/"))
        self.assertEqual(answer, Answer(200, "application/json", b'{"ok": true}'))
        self.assertEqual(json_object(answer), {"ok": True})

    def test_no_compression(self) -> None:
        """No compression is asked for, and none is undone: a megabyte stays a megabyte."""
        self.successResultOf(self.ask("/"))
        self.assertNotIn("accept-encoding", self.pages.headers[0])
        answer = self.successResultOf(self.ask("/bomb"))
        self.assertLess(len(answer.body), ANSWER_LIMIT)
        with self.assertRaises(ProviderError):
            json_object(answer)

    def test_too_large(self) -> None:
        """
        An answer without end is not read to its end.

        Security row 30.
        """
        self.failureResultOf(self.ask("/huge"), ProviderError)

    def test_no_redirects(self) -> None:
        """
        A redirect is an answer, not an order.

        Security row 29.
        """
        self.assertEqual(self.successResultOf(self.ask("/redirect")).status, 302)
        self.assertEqual(len(self.pages.headers), 1)

    def test_slow(self) -> None:
        """Neither silence nor a trickle holds anybody longer than ten seconds."""
        for path in ("/silent", "/trickle"):
            waiting = self.ask(path)
            self.clock.advance(web_client.ANSWER_SECONDS - 0.1)
            self.assertNoResult(waiting)
            self.clock.advance(0.2)
            self.failureResultOf(waiting, ProviderUnreachable)

    def test_cancelled(self) -> None:
        """Whoever waits may give up."""
        waiting = self.ask("/silent")
        waiting.cancel()
        self.failureResultOf(waiting)

    def test_form(self) -> None:
        """A form goes out as one, with the headers that were given."""
        answer = self.web.post_form("https://login.example.com/", {"a": "1 2", "b": "&"}, {"X-A": "y"})
        self.agent.flush()
        self.successResultOf(answer)
        self.assertEqual(self.pages.bodies, [b"a=1+2&b=%26"])
        self.assertEqual(self.pages.headers[0]["x-a"], "y")
        self.assertEqual(self.pages.headers[0]["content-type"], "application/x-www-form-urlencoded")

    def test_hangs_up(self) -> None:
        """On too much the connection is closed, and what still comes is dropped."""
        body: Any = web_client._BoundedBody()
        transport = StringTransport()
        body.makeConnection(transport)
        for _ in range(3):
            body.dataReceived(b"x" * ANSWER_LIMIT)
        self.failureResultOf(body.finished, ProviderError)
        self.assertTrue(transport.disconnecting or transport.disconnected)
        body.connectionLost(Failure(ResponseDone()))

    def test_json_object(self) -> None:
        """Only an object in an answer of success is one; a provider that is not well is told apart."""
        for status, kind in ((400, ProviderError), (302, ProviderError), (500, ProviderUnreachable)):
            with self.assertRaises(kind):
                json_object(Answer(status, "", b"{}"))
        for body in (b"", b"[]", b"7", b"\xff", b"[" * 100_000):
            with self.assertRaises(ProviderError):
                json_object(Answer(200, "", body))

    def test_error_code(self) -> None:
        """Of a refusal only a harmless code is told."""
        for body, text in ((b'{"error":"invalid_grant"}', "invalid_grant"), (b'{"error":"a\\r\\nb"}', "400")):
            with self.assertRaises(ProviderError) as caught:
                json_object(Answer(400, "", body))
            self.assertTrue(str(caught.exception).endswith(text))


class RealTlsTests(TestCase):
    """The agent, over real sockets on this machine."""

    timeout = 20

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = trustme.CA()
        self.ca_file = self.folder / "ca.pem"
        other = trustme.CA().cert_pem.bytes()
        self.ca_file.write_bytes(other + self.authority.cert_pem.bytes())

    def serve(self, name: str) -> str:
        """A server with a certificate for a name; its URL."""
        leaf = self.authority.issue_cert(name)
        pem = leaf.private_key_and_cert_chain_pem.bytes()
        options = ssl.PrivateCertificate.loadPEM(pem).options()
        site = Site(Pages())
        site.displayTracebacks = False
        port = reactor.listenSSL(0, site, options, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return f"https://login.demo.localhost:{port.getHost().port}/"

    def client(self, ca_file: Path | None) -> WebClient:
        """A client as the edge makes it."""
        return WebClient(provider_client(provider_agent(reactor, ca_file)), reactor)

    async def test_private_authority(self) -> None:
        """A provider with a private CA is reached by its name, below localhost without DNS."""
        url = self.serve("login.demo.localhost")
        self.assertEqual((await self.client(self.ca_file).get(url)).status, 200)

    async def test_not_trusted(self) -> None:
        """Without that CA it is not."""
        url = self.serve("login.demo.localhost")
        with self.assertRaises(ProviderUnreachable):
            await self.client(None).get(url)

    async def test_another_name(self) -> None:
        """Nor with a certificate for another name."""
        url = self.serve("evil.demo.localhost")
        with self.assertRaises(ProviderUnreachable):
            await self.client(self.ca_file).get(url)

    def test_empty_authority(self) -> None:
        """A file without a certificate is an error at the start, not at the first sign-in."""
        self.ca_file.write_text("nothing here")
        with self.assertRaises(ValueError):
            provider_agent(reactor, self.ca_file)
