"""L{appproxy.connector.questions}: what a connector answers an edge that asks."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.dial import BackendError
from appproxy.httpwire.block import fields_of
from appproxy.httpwire.wire_heads import unpack_response
from appproxy.tunnel.messages import NO_BODY, OpenMessage
from tests.connector.support import ADA, REVISION, Answer, Edge, backend
from tests.tunnel.support import TRANSACTION

OTHER = "01ARZ3NDEKTSV4RRFFQ69G5FAX"
SIGNED_ON = {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}}


def ask(edge: Edge, head: bytes = b"PROBE /", application: str = "wiki", revision: int = REVISION) -> Answer:
    """Open the stream of a question."""
    message = OpenMessage(5000, OTHER, application, revision, 0, bytes(8), NO_BODY, False, head, ask=True)
    answer = Answer()
    answer.stream = edge.session.open(message, answer)
    edge.pump()
    return answer


class ProbeTests(SynchronousTestCase):
    """Whether an application can be reached."""

    def test_reachable(self) -> None:
        """The status and the times come back, and nothing that the application says of itself."""
        edge = Edge([backend(passthrough=False, sso=SIGNED_ON, internal="http://wiki.corp.example/in/")])
        edge.backends.hold = True
        answer = ask(edge)
        edge.clock.advance(0.25)
        edge.backends.answer()
        edge.clock.advance(0.5)
        edge.say(b"HTTP/1.1 401 No\r\nContent-Length: 9\r\nSet-Cookie: a=secret\r\n\r\n")
        self.assertTrue(answer.complete)
        status, body, headers = unpack_response(answer.calls[0][1])
        self.assertEqual((status, body), (401, NO_BODY))
        told = {each.name: each.value for each in fields_of(headers)}
        self.assertEqual(told, {b"AppProxy-Connect-Ms": b"250.0", b"AppProxy-Answer-Ms": b"500.0"})

    def test_as_nobody(self) -> None:
        """The application gets a HEAD of its own first page, without sign-on; no request is counted."""
        edge = Edge([backend(passthrough=False, sso=SIGNED_ON, internal="http://wiki.corp.example/in/")])
        edge.know(1, ADA)
        ask(edge)
        lines = edge.transport.written.split(b"\r\n")
        self.assertEqual(lines[0], b"HEAD /in/ HTTP/1.1")
        self.assertIn(b"User-Agent: appproxy-probe", lines)
        self.assertNotIn(b"X-Remote-User", edge.transport.written)
        self.assertEqual(edge.served, [])

    def test_own_connection(self) -> None:
        """A kept connection would prove nothing: a new one is made, and closed after it."""
        edge = Edge()
        edge.request()
        edge.say(b"HTTP/1.1 204 Yes\r\n\r\n")
        kept = edge.transport
        ask(edge)
        self.assertIsNot(edge.transport, kept)
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        self.assertTrue(edge.transport.aborted)
        self.assertFalse(kept.over)

    def test_not_served(self) -> None:
        """What the catalog or the connector's own file does not allow is not dialled."""
        edge = Edge([backend(), backend("other", internal="http://elsewhere.example/")])
        self.assertEqual(ask(edge, application="nothing").reason, "backend_not_allowed")
        self.assertEqual(ask(edge, application="other").reason, "backend_not_allowed")
        self.assertEqual(edge.backends.transports, [])

    def test_stale(self) -> None:
        """A connector that is behind says so at once."""
        self.assertEqual(ask(Edge(), revision=REVISION + 1).reason, "stale")

    def test_refused(self) -> None:
        """A dial that fails is told in the dialler's words."""
        edge = Edge()
        edge.backends.hold = True
        answer = ask(edge)
        edge.backends.refuse(BackendError("backend_name", "wiki.corp.example has no address"))
        edge.pump()
        self.assertEqual(answer.reason, "backend_name")

    def test_no_connection_in_time(self) -> None:
        """A dial that takes too long is given up."""
        edge = Edge()
        edge.backends.hold = True
        answer = ask(edge)
        edge.advance(6)
        self.assertEqual((answer.reason, edge.backends.cancelled), ("backend_refused", 1))

    def test_silent(self) -> None:
        """So is an application that does not answer, and its connection goes."""
        edge = Edge()
        answer = ask(edge)
        edge.advance(6)
        self.assertEqual(answer.reason, "backend_timeout")
        self.assertTrue(edge.transport.aborted)

    def test_broken(self) -> None:
        """An application that breaks HTTP, or off, is told as one."""
        edge = Edge()
        answer = ask(edge)
        edge.say(b"SMTP ready\r\n")
        self.assertEqual(answer.reason, "backend_protocol")
        answer = ask(edge)
        edge.lose()
        self.assertEqual(answer.reason, "backend_protocol")

    def test_nobody_waits(self) -> None:
        """An edge that gives up ends the dial; a connection that comes all the same is closed."""
        edge = Edge()
        edge.backends.hold = True
        answer = ask(edge)
        assert answer.stream is not None
        answer.stream.reset("cancelled")
        edge.pump()
        self.assertEqual(edge.backends.cancelled, 1)
        edge.advance(10)

    def test_unknown_question(self) -> None:
        """A question that this version does not know reaches no application."""
        edge = Edge()
        self.assertEqual(ask(edge, b"DANCE /").reason, "bug")
        self.assertEqual(ask(edge, b"nothing").reason, "bug")
        self.assertEqual(edge.backends.transports, [])


class TraceTests(SynchronousTestCase):
    """What became of a request."""

    def trace(self, edge: Edge) -> Any:
        """Ask for the only transaction there is; L{None} if it is not known."""
        answer = ask(edge, b"TRACE /" + TRANSACTION.encode())
        status = unpack_response(answer.calls[0][1])[0]
        return json.loads(answer.body) if status == 200 else None

    def test_answered(self) -> None:
        """Each step has its time; neither path nor headers are in it."""
        edge = Edge()
        edge.backends.hold = True
        edge.clock.advance(100)
        edge.request(target=b"/private?token=1", headers=[(b"Cookie", b"secret")])
        edge.clock.advance(0.25)
        edge.backends.answer()
        edge.clock.advance(0.5)
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
        edge.clock.advance(1)
        edge.say(b"i")
        told = {"application": "wiki", "began": 100.0, "status": 200}
        steps = {"connected_ms": 250.0, "answered_ms": 750.0, "ended_ms": 1750.0}
        self.assertEqual(self.trace(edge), told | steps)

    def test_reused(self) -> None:
        """A connection that had served before is told apart from a new one."""
        edge = Edge()
        for _ in range(2):
            edge.request()
            edge.say(b"HTTP/1.1 204 Yes\r\n\r\n")
            edge.clock.advance(1)
        told = self.trace(edge)
        self.assertTrue(told["reused"])
        self.assertNotIn("connected_ms", told)

    def test_failed(self) -> None:
        """A failure has the connector's own words, which the page does not have."""
        edge = Edge()
        edge.backends.hold = True
        edge.request()
        edge.backends.refuse(BackendError("backend_refused", "wiki.corp.example (10.0.0.1): refused"))
        told = self.trace(edge)
        self.assertEqual(
            (told["reason"], told["detail"]), ("backend_refused", "wiki.corp.example (10.0.0.1): refused")
        )

    def test_unknown(self) -> None:
        """A transaction that did not come here is not known."""
        self.assertIsNone(self.trace(Edge()))
