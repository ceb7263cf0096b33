"""L{appproxy.connector.exchange}: streams and backend connections."""

from __future__ import annotations

from typing import Any, Never

from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.dial import BackendError
from appproxy.connector.exchange import UPGRADED_CLOSE_SECONDS
from appproxy.connector.opening import CATALOG_WAIT_SECONDS
from appproxy.connector.served import MAXIMUM_WAITING
from appproxy.httpwire.field import Pair, fields
from appproxy.httpwire.heads import NO_BODY, UNTIL_END
from appproxy.httpwire.wire_heads import pack_trailers
from appproxy.sso.modes import SignOns
from tests.connector.support import ADA, EVE, Edge, backend, failures_of
from tests.tunnel.support import TRANSACTION


def broken(*_arguments: object) -> Never:
    """A bug."""
    raise ZeroDivisionError


class Broken(dict[Any, Any]):
    """A dictionary that nothing can be entered in."""

    def __setitem__(self, key: Any, value: Any) -> Never:
        broken()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
UPGRADE: list[Pair] = [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"x")]
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HEADERS_SSO: dict[str, Any] = {"mode": "headers", "headers": {"X-User": {"claim": "user_principal_name"}}}
WINDOW = 64 * 1024


class AnswerTests(SynchronousTestCase):
    """Requests and their answers."""

    def test_plain(self) -> None:
        """A GET reaches the backend with the internal host, and its answer comes back whole."""
        edge = Edge()
        answer = edge.request(target=b"/page?x=1", headers=[(b"Accept", b"*/*")])
        self.assertEqual(
            edge.transport.written,
            b"GET /page?x=1 HTTP/1.1\r\nHost: wiki.corp.example\r\nAccept: */*\r\n"
            b"X-Request-Id: " + TRANSACTION.encode() + b"\r\n\r\n",
        )
        edge.say(OK)
        self.assertEqual(answer.heads, [(200, 2, [])])
        self.assertEqual((bytes(answer.body), answer.complete), (b"hi", True))
        self.assertEqual(edge.session.active_streams, 0)
        self.assertEqual(edge.acceptor.active_streams, 0)
        self.assertEqual(edge.served, ["wiki"])

    def test_connection_serves_again(self) -> None:
        """After a complete exchange the next request takes the same connection."""
        edge = Edge()
        for _ in range(3):
            answer = edge.request()
            edge.say(OK)
            self.assertTrue(answer.complete)
        self.assertEqual(len(edge.backends.transports), 1)

    def test_body_with_length(self) -> None:
        """A body of known length crosses byte for byte."""
        edge = Edge()
        answer = edge.request(b"POST", body=5)
        answer.open_stream.write(b"ab")
        answer.open_stream.write(b"cde")
        answer.open_stream.end()
        edge.pump()
        self.assertTrue(edge.transport.written.endswith(b"Content-Length: 5\r\n\r\nabcde"))
        edge.say(OK)
        self.assertTrue(answer.complete)
        self.assertEqual(edge.backends.pools[0].idle, 1)

    def test_body_until_end(self) -> None:
        """A body of unknown length is chunked anew, with the trailers that may pass."""
        edge = Edge(
            [backend(passthrough=False, sso=HEADERS_SSO)],
        )
        edge.know(1, ADA)
        answer = edge.request(b"POST", body=UNTIL_END, user=1, principal=ADA)
        answer.open_stream.write(b"abc")
        answer.open_stream.trailers(
            pack_trailers(fields([(b"Checksum", b"1"), (b"Content-Length", b"9"), (b"x_user", b"root")]))
        )
        answer.open_stream.end()
        edge.pump()
        head, _, sent = edge.transport.written.partition(b"\r\n\r\n")
        self.assertIn(b"Transfer-Encoding: chunked", head)
        self.assertEqual(sent, b"3\r\nabc\r\n0\r\nChecksum: 1\r\n\r\n")

    def test_answer_trailers(self) -> None:
        """An answer's trailers cross; those that decide something do not."""
        edge = Edge()
        answer = edge.request()
        edge.say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nhi\r\n0\r\nChecksum: 1\r\nSet-Cookie: a=b\r\n\r\n"
        )
        self.assertIn(("trailers", b"Checksum: 1"), answer.calls)
        self.assertEqual(answer.heads, [(200, UNTIL_END, [])])
        self.assertTrue(answer.complete)

    def test_no_body(self) -> None:
        """HEAD, 204 and 304 have no body, whatever their heads say, and leave the connection clean."""
        edge = Edge()
        for method, said in (
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        ):
            answer = edge.request(method)
            edge.say(said)
            self.assertEqual(answer.heads[0][1], NO_BODY)
            self.assertEqual((answer.complete, bytes(answer.body)), (True, b""))
        self.assertEqual(len(edge.backends.transports), 1)

    def test_interim(self) -> None:
        """Interim heads come first, and do not count as the answer."""
        edge = Edge()
        answer = edge.request(b"POST", headers=[(b"Expect", b"100-continue")], body=2)
        edge.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        self.assertEqual([head[0] for head in answer.heads], [100, 103])
        answer.open_stream.write(b"xy")
        answer.open_stream.end()
        edge.pump()
        edge.say(OK)
        self.assertEqual((answer.status, answer.complete), (200, True))

    def test_until_close(self) -> None:
        """A body may end with the connection, if that closed cleanly."""
        for clean in (True, False):
            edge = Edge()
            answer = edge.request()
            edge.say(b"HTTP/1.1 200 OK\r\n\r\nhi")
            edge.lose(clean)
            self.assertEqual(answer.complete, clean)
            self.assertEqual(answer.reason, "" if clean else "backend_protocol")
            self.assertEqual(edge.backends.pools[0].connections, 0)

    def test_location_is_translated(self) -> None:
        """Addresses of the inside become those of the outside."""
        edge = Edge()
        answer = edge.request()
        edge.say(b"HTTP/1.1 302 Found\r\nLocation: http://wiki.corp.example/x\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(answer.heads[0][2], [(b"Location", b"https://wiki.apps.example.com/x")])


class FailureTests(SynchronousTestCase):
    """What goes wrong behind the connector, and with it."""

    def test_closed_too_early(self) -> None:
        """An answer that breaks off is not complete."""
        edge = Edge()
        answer = edge.request()
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        edge.lose()
        self.assertEqual((answer.reason, answer.complete), ("backend_protocol", False))

    def test_bad_answer(self) -> None:
        """A backend that breaks the rules gets no second chance on this connection."""
        edge = Edge()
        answer = edge.request()
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual(answer.reason, "backend_protocol")
        self.assertTrue(edge.transport.aborted)

    def test_no_dial(self) -> None:
        """Why a backend cannot be reached reaches the edge."""
        edge = Edge()
        edge.backends.hold = True
        answer = edge.request()
        edge.backends.refuse(BackendError("backend_refused", "wiki.corp.example: refused"))
        edge.pump()
        self.assertEqual(answer.reason, "backend_refused")
        self.assertEqual(edge.acceptor.active_streams, 0)

    def test_silence(self) -> None:
        """A backend that says nothing is given up after the application's time for it."""
        edge = Edge([backend(timeout="5s")])
        answer = edge.request()
        edge.advance(4)
        self.assertEqual(answer.reason, "")
        edge.advance(3)
        self.assertEqual(answer.reason, "backend_timeout")
        self.assertTrue(edge.transport.aborted)

    def test_silence_on_a_kept_connection(self) -> None:
        """Each request has the whole time, whenever its connection was used before; idling is no silence."""
        edge = Edge([backend(timeout="5s")])
        for wait in (0, 4, 3, 9):
            edge.advance(wait)
            first = edge.request()
            edge.advance(4)
            edge.say(OK)
            self.assertTrue(first.complete)
        second = edge.request()
        edge.advance(4)
        self.assertEqual(second.reason, "")
        edge.advance(3)
        self.assertEqual(second.reason, "backend_timeout")
        self.assertEqual(len(edge.backends.transports), 1)

    def test_slow_body_is_no_silence(self) -> None:
        """The time counts until the first byte: a long answer may take as long as it wants."""
        edge = Edge([backend(timeout="5s")])
        answer = edge.request()
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
        edge.advance(600)
        edge.say(b"i")
        self.assertTrue(answer.complete)

    def test_backend_reads_nothing(self) -> None:
        """A backend that does not take the request's body is given up as well."""
        edge = Edge([backend(timeout="5s")])
        answer = edge.request(b"POST", body=10)
        edge.transport.producer.pauseProducing()
        edge.advance(4)
        edge.transport.producer.resumeProducing()
        edge.advance(10)
        self.assertEqual(answer.reason, "")
        edge.transport.producer.pauseProducing()
        edge.advance(7)
        self.assertEqual(answer.reason, "backend_timeout")

    def test_bug(self) -> None:
        """A mistake of ours ends the stream at once, with C{bug}, and says so in the log."""
        edge = Edge()
        answer = edge.request()
        edge.before_sending = broken
        edge.say(OK)
        self.assertEqual(answer.reason, "bug")
        self.assertEqual(failures_of(self, ZeroDivisionError), 1)
        self.assertTrue(edge.transport.aborted)

    def test_bug_while_serving(self) -> None:
        """So does one before the backend was asked, and while waiting for the catalog."""
        edge = Edge()
        edge.backends.before = broken
        self.assertEqual(edge.request().reason, "bug")
        waiting = edge.request(revision=REVISION_AHEAD)
        edge.tell([backend()], REVISION_AHEAD)
        self.assertEqual(waiting.reason, "bug")
        self.assertEqual(failures_of(self, ZeroDivisionError), 2)
        self.assertEqual(edge.acceptor.active_streams, 0)

    def test_bug_after_dialling(self) -> None:
        """A connection that was just made is not lost with the mistake."""
        edge = Edge()
        edge.backends.hold = True
        answer = edge.request()
        edge.backends.pools[0].by_client[1] = Broken()
        authorised = edge.request(headers=[(b"Authorization", b"NTLM x")])
        edge.backends.answer()
        edge.backends.answer()
        edge.pump()
        self.assertEqual((answer.reason, authorised.reason), ("", "bug"))
        self.assertTrue(edge.transport.aborted)
        self.assertEqual(failures_of(self, ZeroDivisionError), 1)

    def test_edge_breaks_its_word(self) -> None:
        """A body longer or shorter than its head said ends the exchange and the backend's connection."""
        for data in (b"too long", b"a"):
            edge = Edge()
            answer = edge.request(b"POST", body=2)
            answer.open_stream.write(data)
            answer.open_stream.end()
            edge.pump()
            self.assertEqual(answer.reason, "bug")
            self.assertTrue(edge.transport.aborted)
            self.assertEqual(edge.acceptor.active_streams, 0)
            self.assertEqual(len(edge.wheel), 0)


REVISION_AHEAD = 9


class RetryTests(SynchronousTestCase):
    """A kept connection that turns out to be closed."""

    def kept(self) -> Edge:
        """An edge with one idle backend connection."""
        edge = Edge()
        edge.request()
        edge.say(OK)
        return edge

    def test_safe(self) -> None:
        """A request without consequences is sent again, once, on a new connection."""
        edge = self.kept()
        answer = edge.request()
        edge.lose()
        self.assertEqual(len(edge.backends.transports), 2)
        self.assertIn(b"GET / HTTP/1.1", edge.transport.written)
        edge.lose()
        self.assertEqual((len(edge.backends.transports), answer.reason), (2, "backend_protocol"))

    def test_no_new_connection(self) -> None:
        """The time for the answer goes on while the new connection is made, and ends with it."""
        for late in (True, False):
            edge = Edge([backend(timeout="5s")])
            edge.request()
            edge.say(OK)
            answer = edge.request()
            edge.backends.hold = True
            edge.lose()
            edge.advance(4)
            self.assertEqual(answer.reason, "")
            if late:
                edge.advance(3)
                self.assertEqual((answer.reason, edge.backends.cancelled), ("backend_timeout", 1))
            else:
                edge.backends.answer()
                edge.advance(4)
                edge.say(OK)
                self.assertTrue(answer.complete)

    def test_unsafe(self) -> None:
        """Nothing that might have had consequences is sent twice."""
        edge = self.kept()
        answer = edge.request(b"DELETE")
        edge.lose()
        self.assertEqual((len(edge.backends.transports), answer.reason), (1, "backend_protocol"))

    def test_begun(self) -> None:
        """Nor is a request whose answer had begun."""
        edge = self.kept()
        answer = edge.request()
        edge.say(b"HTTP/1.1 2")
        edge.lose()
        self.assertEqual((len(edge.backends.transports), answer.reason), (1, "backend_protocol"))

    def test_upgrade(self) -> None:
        """An upgrade does not use a kept connection, so that it need not be repeated."""
        edge = self.kept()
        edge.request(headers=UPGRADE, upgrade=True)
        self.assertEqual(len(edge.backends.transports), 2)


class FlowTests(SynchronousTestCase):
    """Back-pressure and what is held."""

    def test_held_while_dialling(self) -> None:
        """While a backend is dialled, no more of the body is taken than one window."""
        edge = Edge()
        edge.backends.hold = True
        answer = edge.request(b"POST", body=10 * WINDOW)
        answer.open_stream.write(bytes(10 * WINDOW))
        edge.pump()
        self.assertEqual(answer.open_stream.queued, 9 * WINDOW)
        edge.backends.answer()
        edge.pump()
        self.assertEqual(answer.open_stream.queued, 0)
        self.assertEqual(edge.transport.written.count(b"\0"), 10 * WINDOW)

    def test_held_while_waiting_for_the_catalog(self) -> None:
        """The same while a newer catalog is on its way."""
        edge = Edge()
        answer = edge.request(b"POST", body=10 * WINDOW, revision=REVISION_AHEAD)
        answer.open_stream.write(bytes(10 * WINDOW))
        answer.open_stream.trailers(b"a\nb")
        answer.open_stream.end()
        edge.pump()
        self.assertEqual(answer.open_stream.queued, 9 * WINDOW + 3)
        edge.tell([backend()], REVISION_AHEAD)
        self.assertEqual(edge.transport.written.count(b"\0"), 10 * WINDOW)

    def test_backend_reads_slowly(self) -> None:
        """A backend that is slow stops the client's upload, and only it."""
        edge = Edge()
        answer = edge.request(b"POST", body=10 * WINDOW)
        edge.transport.producer.pauseProducing()
        answer.open_stream.write(bytes(10 * WINDOW))
        edge.pump()
        self.assertEqual(answer.open_stream.queued, 9 * WINDOW)
        other = edge.request()
        edge.say(OK)
        self.assertTrue(other.complete)
        edge.backends.transports[0].producer.resumeProducing()
        edge.pump()
        self.assertEqual(answer.open_stream.queued, 0)

    def test_client_reads_slowly(self) -> None:
        """A client that is slow stops the backend."""
        edge = Edge()
        answer = edge.request()
        answer.open_stream.pause()
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (10 * WINDOW))
        for _ in range(10):
            if not edge.transport.paused:
                edge.say(bytes(WINDOW))
        self.assertTrue(edge.transport.paused)
        self.assertEqual(len(answer.body), WINDOW)
        answer.open_stream.resume()
        edge.pump()
        self.assertFalse(edge.transport.paused)

    def test_early_answer(self) -> None:
        """An answer before the request's end is delivered whole; then the rest is not wanted."""
        edge = Edge()
        answer = edge.request(b"POST", body=10 * WINDOW)
        answer.open_stream.write(bytes(WINDOW))
        edge.pump()
        edge.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        self.assertEqual((answer.status, bytes(answer.body), answer.complete), (413, b"no", True))
        self.assertEqual(answer.reason, "cancelled")
        self.assertEqual(edge.acceptor.active_streams, 0)
        self.assertTrue(edge.transport.aborted)

    def test_backend_that_still_reads(self) -> None:
        """A connection on which the backend has yet to read its last request is not used again."""
        edge = Edge()
        answer = edge.request(b"POST", body=2)
        edge.transport.producer.pauseProducing()
        answer.open_stream.write(b"ab")
        answer.open_stream.end()
        edge.pump()
        edge.say(OK)
        self.assertTrue(answer.complete)
        self.assertEqual(edge.backends.pools[0].idle, 0)


class ResetTests(SynchronousTestCase):
    """The client goes away."""

    def test_while_answering(self) -> None:
        """The connection goes too: what the backend still says is nobody's."""
        edge = Edge()
        answer = edge.request()
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        answer.open_stream.reset("cancelled")
        edge.pump()
        self.assertTrue(edge.transport.aborted)
        first = edge.transport
        second = edge.request()
        edge.say(b"secret!", first)
        edge.say(OK)
        self.assertEqual((len(edge.backends.transports), bytes(second.body)), (2, b"hi"))

    def test_before_the_answer(self) -> None:
        """The same before the first byte of the answer."""
        edge = Edge()
        answer = edge.request()
        answer.open_stream.reset("cancelled")
        edge.pump()
        self.assertTrue(edge.transport.aborted)
        self.assertEqual((edge.backends.pools[0].idle, len(edge.wheel)), (0, 0))

    def test_while_dialling(self) -> None:
        """Nothing is dialled for somebody who has left."""
        edge = Edge()
        edge.backends.hold = True
        answer = edge.request()
        answer.open_stream.reset("cancelled")
        edge.pump()
        self.assertEqual((edge.backends.cancelled, edge.backends.waiting), (1, []))

    def test_while_waiting_for_the_catalog(self) -> None:
        """Nothing is served for them either."""
        edge = Edge()
        answer = edge.request(revision=REVISION_AHEAD)
        answer.open_stream.reset("cancelled")
        edge.pump()
        edge.tell([backend()], REVISION_AHEAD)
        self.assertEqual(edge.backends.transports, [])

    def test_tunnel_lost(self) -> None:
        """With the tunnel go its streams, connections and timers."""
        edge = Edge()
        edge.request()
        edge.say(OK)
        edge.request()
        edge.request()
        edge.acceptor.connection_lost("cut")
        edge.end.lost()
        self.assertTrue(all(each.aborted for each in edge.backends.transports))


class CatalogTests(SynchronousTestCase):
    """What an edge may ask for."""

    def test_newer_catalog(self) -> None:
        """A stream waits for the catalog that its edge has seen."""
        edge = Edge(None)
        answer = edge.request(revision=REVISION_AHEAD)
        edge.tell([backend()], REVISION_AHEAD)
        edge.say(OK)
        self.assertTrue(answer.complete)

    def test_stale(self) -> None:
        """It does not wait for ever: another connector may have it."""
        edge = Edge()
        answer = edge.request(revision=REVISION_AHEAD)
        edge.advance(CATALOG_WAIT_SECONDS + 2)
        self.assertEqual(answer.reason, "stale")

    def test_too_many_wait(self) -> None:
        """Nor do more streams than a stuck relay could explain."""
        edge = Edge()
        for _ in range(MAXIMUM_WAITING):
            edge.catalog.wait_for(REVISION_AHEAD, lambda: None)
        self.assertEqual(edge.request(revision=REVISION_AHEAD).reason, "stale")

    def test_unknown_application(self) -> None:
        """An application of another group is not there."""
        self.assertEqual(Edge().request(application="payroll").reason, "backend_not_allowed")

    def test_not_allowed_here(self) -> None:
        """The connector's own file has the last word on backends and on sign-on."""
        edge = Edge(
            [
                backend("metadata", internal="http://169.254.169.254/"),
                backend("other", internal="http://other.example/"),
            ],
            SignOns(["none"]),
        )
        edge.tell([backend("signed", passthrough=False, sso=HEADERS_SSO)], 8)
        edge.know(1, ADA)
        self.assertEqual(
            edge.request(application="signed", user=1, principal=ADA, revision=8).reason,
            "backend_not_allowed",
        )
        edge.tell([backend("metadata", internal="http://169.254.169.254/")], 9)
        self.assertEqual(edge.request(application="metadata", revision=9).reason, "backend_not_allowed")
        self.assertEqual(edge.backends.transports, [])

    def test_anonymous(self) -> None:
        """Nobody in particular gets only what the catalog calls passthrough."""
        edge = Edge([backend(passthrough=False), backend("open")])
        self.assertEqual(edge.request().reason, "backend_not_allowed")
        self.assertEqual(edge.request(application="open").reason, "")

    def test_signed_on(self) -> None:
        """The user's headers are added; what came in their name is not passed."""
        edge = Edge([backend(passthrough=False, sso=HEADERS_SSO)])
        edge.know(1, ADA)
        spelt: list[Pair] = [(b"x-user", b"eve"), (b"X_USER", b"eve"), (b"X.User", b"eve")]
        edge.request(user=1, principal=ADA, headers=spelt)
        self.assertEqual(edge.transport.written.count(b"eve"), 0)
        self.assertIn(b"\r\nX-User: ada@example.com\r\n", edge.transport.written)

    def test_sign_on_fails(self) -> None:
        """A claim that cannot stand in a header stops the request."""
        edge = Edge([backend(passthrough=False, sso=HEADERS_SSO)])
        evil = type(ADA)("https://idp.example", "e", "2" * 32, user_principal_name="a\r\nX-Admin: 1")
        edge.know(1, evil)
        self.assertEqual(edge.request(user=1, principal=evil).reason, "sso_failed")
        self.assertEqual(edge.backends.transports, [])

    def test_hostile_head(self) -> None:
        """Framing headers of an edge's own end the stream before anything is dialled."""
        edge = Edge()
        answer = edge.request(headers=[(b"Transfer-Encoding", b"chunked")])
        self.assertEqual((answer.reason, edge.backends.transports), ("bug", []))

    def test_head_from_the_edge(self) -> None:
        """The refusal of one stream costs no other one."""
        edge = Edge()
        other = edge.request()
        edge.request(headers=[(b"Content-Length", b"3")])
        edge.say(OK)
        self.assertTrue(other.complete)


class UpgradeTests(SynchronousTestCase):
    """WebSockets and their like."""

    def upgraded(self) -> tuple[Edge, Any]:
        """An upgraded stream."""
        edge = Edge()
        answer = edge.request(headers=UPGRADE, upgrade=True)
        edge.say(SWITCHING + b"hello")
        return edge, answer

    def test_both_ways(self) -> None:
        """After the 101 bytes cross as they are, both ways."""
        edge, answer = self.upgraded()
        self.assertIn(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", edge.transport.take())
        self.assertEqual((answer.status, bytes(answer.body)), (101, b"hello"))
        answer.open_stream.write(b"\x81\x00")
        edge.pump()
        self.assertEqual(edge.transport.take(), b"\x81\x00")
        edge.say(b"\r\n\r\nHTTP/1.1 200 OK")
        self.assertEqual(bytes(answer.body), b"hello\r\n\r\nHTTP/1.1 200 OK")

    def test_backend_ends(self) -> None:
        """The backend's end reaches the client, and leaves no stream behind on either side."""
        edge, answer = self.upgraded()
        edge.lose()
        self.assertTrue(answer.complete)
        self.assertEqual((edge.session.active_streams, edge.acceptor.active_streams), (0, 0))

    def test_client_ends(self) -> None:
        """The client's last bytes are written before the backend's connection is closed."""
        edge, answer = self.upgraded()
        edge.transport.take()
        answer.open_stream.write(b"bye")
        answer.open_stream.end()
        answer.open_stream.reset("cancelled")
        edge.pump()
        self.assertEqual((edge.transport.take(), edge.transport.closing), (b"bye", True))
        self.assertFalse(edge.transport.aborted)
        edge.lose()
        self.assertEqual((edge.acceptor.active_streams, len(edge.wheel)), (0, 0))

    def test_client_ends_and_backend_stays(self) -> None:
        """A backend that does not take the last bytes is cut off after a while."""
        edge, answer = self.upgraded()
        answer.open_stream.end()
        edge.pump()
        edge.advance(UPGRADED_CLOSE_SECONDS + 2)
        self.assertTrue(edge.transport.aborted)
        self.assertTrue(answer.complete)
        self.assertEqual((edge.session.active_streams, edge.acceptor.active_streams), (0, 0))

    def test_client_gone(self) -> None:
        """A reset closes the backend's connection."""
        edge, answer = self.upgraded()
        answer.open_stream.reset("cancelled")
        edge.pump()
        self.assertTrue(edge.transport.aborted)

    def test_declined(self) -> None:
        """Another answer than 101 is an ordinary answer."""
        edge = Edge()
        answer = edge.request(headers=UPGRADE, upgrade=True)
        edge.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((answer.status, answer.complete), (403, True))
        self.assertEqual(edge.acceptor.active_streams, 0)

    def test_not_asked_for(self) -> None:
        """A backend cannot leave HTTP by itself."""
        edge = Edge()
        answer = edge.request()
        edge.say(SWITCHING)
        self.assertEqual(answer.reason, "backend_protocol")

    def test_idle_is_no_silence(self) -> None:
        """An upgraded connection may be silent for as long as it wants."""
        edge, answer = self.upgraded()
        edge.advance(600)
        self.assertEqual(answer.reason, "")


class PrivateTests(SynchronousTestCase):
    """NTLM and Negotiate: who shares a connection is somebody else."""

    CHALLENGE = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM abc\r\nContent-Length: 0\r\n\r\n"
    NTLM: list[Pair] = [(b"Authorization", b"NTLM xyz")]

    def test_never_shared(self) -> None:
        """From a challenge on the connection is its client's, and its client's alone."""
        edge = Edge()
        edge.request(client=1)
        edge.say(self.CHALLENGE)
        edge.request(client=1, headers=self.NTLM)
        self.assertEqual(len(edge.backends.transports), 1)
        edge.say(OK)
        edge.request(client=2)
        self.assertEqual(len(edge.backends.transports), 2)
        edge.say(OK)
        edge.request(client=1)
        self.assertEqual(edge.backends.transports[0].written.count(b"GET / "), 3)

    def test_bound_by_the_request(self) -> None:
        """The request's own Authorization binds it too, before any answer."""
        edge = Edge()
        edge.request(client=1, headers=[(b"authorization", b"negotiate YII")])
        edge.say(OK)
        edge.request(client=2)
        self.assertEqual(len(edge.backends.transports), 2)

    def test_ends_with_its_client(self) -> None:
        """It is closed with its client's connection, and serves nobody afterwards."""
        edge = Edge()
        edge.request(client=1, headers=self.NTLM)
        edge.say(OK)
        edge.session.send_client_gone(1)
        edge.pump()
        self.assertTrue(edge.transport.aborted)
        edge.request(client=2)
        edge.request(client=1)
        self.assertEqual(len(edge.backends.transports), 3)

    def test_client_gone_while_in_use(self) -> None:
        """Even if the last exchange on it is still under way."""
        edge = Edge()
        answer = edge.request(client=1, headers=self.NTLM)
        edge.session.send_client_gone(1)
        edge.pump()
        edge.say(OK)
        self.assertTrue(answer.complete)
        self.assertTrue(edge.transport.aborted)

    def test_another_user_on_the_same_client_connection(self) -> None:
        """Who signs in after somebody else in the same browser does not get their connection."""
        edge = Edge([backend(passthrough=False)])
        edge.know(1, ADA)
        edge.know(2, EVE)
        edge.request(user=1, principal=ADA, headers=self.NTLM)
        edge.say(OK)
        edge.request(user=2, principal=EVE)
        self.assertEqual(len(edge.backends.transports), 2)

    def test_session_ends(self) -> None:
        """The end of a session closes the connections that were authenticated in it."""
        edge = Edge([backend(passthrough=False)])
        edge.know(1, ADA)
        edge.request(user=1, principal=ADA, headers=self.NTLM)
        edge.say(OK)
        edge.session.send_forget(1)
        edge.pump()
        self.assertTrue(edge.transport.aborted)

    def test_unnamed_client(self) -> None:
        """Where the edge does not say which client it is, a bound connection serves one exchange."""
        edge = Edge()
        edge.request(client=0, headers=self.NTLM)
        edge.say(OK)
        self.assertTrue(edge.transport.aborted)
        edge.request(client=0)
        self.assertEqual(len(edge.backends.transports), 2)

    def test_two_at_once(self) -> None:
        """Two streams of one client never meet on its connection."""
        edge = Edge()
        first = edge.request(headers=self.NTLM)
        edge.request(headers=self.NTLM)
        self.assertEqual(len(edge.backends.transports), 2)
        edge.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", edge.backends.transports[0])
        self.assertEqual(bytes(first.body), b"1")

    def test_catalog_changes(self) -> None:
        """An application that changes gives up its private connections too."""
        edge = Edge()
        edge.request(headers=self.NTLM)
        edge.say(OK)
        edge.tell([backend(timeout="9s")], 8)
        self.assertTrue(edge.transport.aborted)
