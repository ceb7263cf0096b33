"""L{appproxy.connector.tunnel_end} and L{appproxy.connector.served}."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.group_document import write_group
from appproxy.tunnel.errors import TunnelError
from tests.connector.support import ADA, REVISION, Edge, backend

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class CatalogTests(SynchronousTestCase):
    """The catalog that a tunnel tells."""

    def test_applied(self) -> None:
        """A CONFIG is in force before it is answered."""
        edge = Edge()
        self.assertIn(("applied", REVISION), edge.listener.calls)
        self.assertEqual(edge.owner.calls, [("up",)])
        self.assertEqual(edge.catalog.revision, REVISION)

    def test_unchanged(self) -> None:
        """An application that did not change keeps its connections."""
        edge = Edge([backend(), backend("other")])
        edge.request()
        edge.say(OK)
        served = edge.catalog.get("wiki")
        edge.tell([backend(), backend("other", timeout="5s")], 8)
        self.assertIs(edge.catalog.get("wiki"), served)
        self.assertFalse(edge.transport.over)
        self.assertEqual(edge.catalog.revision, 8)

    def test_changed(self) -> None:
        """One that did starts anew: its idle connections are closed."""
        edge = Edge()
        edge.request()
        edge.say(OK)
        edge.tell([backend(internal="http://new.corp.example/")], 8)
        self.assertTrue(edge.transport.aborted)
        edge.request(revision=8)
        self.assertIn(b"Host: new.corp.example", edge.transport.written)

    def test_removed(self) -> None:
        """One that is gone is gone; what is under way ends, and its connection with it."""
        edge = Edge()
        answer = edge.request()
        edge.tell([], 8)
        self.assertEqual(edge.request(revision=8).reason, "backend_not_allowed")
        edge.say(OK)
        self.assertTrue(answer.complete)
        self.assertTrue(edge.transport.aborted)

    def test_garbage(self) -> None:
        """What is no catalog ends the tunnel."""
        for payload in (b"{", b"[]", b"{}", b'{"applications":[1]}', b'{"applications":[{}]}', b"\xff"):
            edge = Edge(None)
            edge.session.send_config(1, payload)
            error = self.assertRaises(TunnelError, edge.pump)
            self.assertEqual(error.code, "bad_message")
            self.assertEqual(edge.catalog.revision, 0)

    def test_newer_application(self) -> None:
        """An application that this version does not understand costs no other one."""
        edge = Edge(None)
        document = json.loads(write_group([backend(), backend("future")]))
        document["applications"][1]["sso"] = {"mode": "telepathy"}
        edge.session.send_config(REVISION, json.dumps(document).encode())
        edge.pump()
        self.assertEqual(list(edge.catalog.refusals), ["future"])
        self.assertEqual(edge.request(application="future").reason, "backend_not_allowed")
        answer = edge.request()
        edge.say(OK)
        self.assertTrue(answer.complete)

    def test_refusals(self) -> None:
        """What the connector's own file forbids is said once, by name."""
        edge = Edge([backend(), backend("loopback", internal="http://127.0.0.1/")])
        self.assertEqual(list(edge.catalog.refusals), ["loopback"])
        self.assertIn("allowed_backends", edge.catalog.refusals["loopback"])


class EndTests(SynchronousTestCase):
    """L{TunnelEnd<appproxy.connector.tunnel_end.TunnelEnd>}."""

    def test_bad_principal(self) -> None:
        """Claims that nobody could have written end the tunnel."""
        for payload in (b"{}", b"[]", b"\xff", ADA.encoded.replace(b'"ada"', b"7"), b"[" * 50_000):
            edge = Edge()
            edge.session.send_principal(1, payload)
            error = self.assertRaises(TunnelError, edge.pump)
            self.assertEqual(error.code, "bad_message")

    def test_forgotten(self) -> None:
        """A session's end ends its streams, and the number is nobody's."""
        edge = Edge([backend(passthrough=False)])
        edge.know(1, ADA)
        edge.request(user=1, principal=ADA)
        edge.session.send_forget(1)
        edge.pump()
        self.assertTrue(edge.transport.aborted)
        self.assertEqual(edge.end._principals, {})

    def test_renewal(self) -> None:
        """A request for a certificate goes up, the certificate comes back."""
        edge = Edge()
        edge.end.ask_for_certificate("CSR", ["ab", "cd"])
        edge.pump()
        self.assertIn(("renew", b'{"csr": "CSR", "roots": ["ab", "cd"]}'), edge.listener.calls)
        edge.session.send_renew(b'{"certificate": "PEM"}')
        edge.pump()
        self.assertEqual(edge.owner.calls[-1], ("renewed", "PEM"))

    def test_bad_renewal(self) -> None:
        """An answer that is none is dropped."""
        edge = Edge()
        for payload in (b"", b"[]", b"{}", b'{"certificate": 7}'):
            edge.session.send_renew(payload)
        edge.pump()
        self.assertEqual(edge.owner.calls, [("up",)])

    def test_leaving(self) -> None:
        """A relay that stops is replaced; what is under way goes on."""
        edge = Edge()
        answer = edge.request()
        edge.session.go_away("draining")
        edge.pump()
        self.assertEqual(edge.owner.calls, [("up",), ("leaving",)])
        self.assertTrue(edge.end.leaving)
        edge.say(OK)
        self.assertTrue(answer.complete)

    def test_refused(self) -> None:
        """A relay that does not want this connector says so."""
        for reason in ("revoked", "not_trusted"):
            edge = Edge()
            edge.session.go_away(reason)
            edge.pump()
            self.assertEqual(edge.owner.calls[1:], [("refused", reason), ("leaving",)])

    def test_ping(self) -> None:
        """The answer to a ping goes to whoever measures."""
        edge = Edge()
        answers: list[bytes] = []
        edge.end.timed = answers.append
        edge.acceptor.ping(b"x")
        edge.pump()
        self.assertEqual(answers, [b"x"])

    def test_hello(self) -> None:
        """Who is at the other end is known."""
        self.assertTrue(Edge().end.software.startswith("appproxy/"))
