"""
The contract about messages: framing, order, interim answers.
"""

from __future__ import annotations

import gc
from collections import Counter

from tests.contract.support import WIKI, ContractCase, Head, request

OK = b"HTTP/1.1 200 OK\r\n"
OF_AN_EXCHANGE = frozenset(
    {"Exchange", "Attempts", "UploadWatch", "StreamRequest", "BackendExchange", "BackendRequest"}
)


def _exchanges() -> dict[str, int]:
    """What of exchanges is in memory, by name."""
    names = (type(each).__name__ for each in gc.get_objects())
    return Counter(name for name in names if name in OF_AN_EXCHANGE)


class BodiesContract(ContractCase):
    """Bodies cross in both directions whatever frames them, and each message ends where it ends."""

    def test_get(self) -> None:
        """A GET reaches the backend under its own name, without a body."""
        client, backend, head = self.forward(request(b"GET /a/b?c=%20d HTTP/1.1", b"Accept: x"))
        self.assertEqual(head.line, b"GET /a/b?c=%20d HTTP/1.1")
        self.assertEqual(head.all(b"host"), [b"wiki.internal.example:8080"])
        self.assertEqual(head.all(b"accept"), [b"x"])
        self.assertFalse({b"content-length", b"transfer-encoding", b"connection"} & head.names)
        self.assertEqual(head.rest, b"")
        backend.send(OK + b"Content-Length: 3\r\nX-Own: y\r\n\r\nabc")
        answer = Head(client.take())
        self.assertEqual((answer.line, answer.rest), (b"HTTP/1.1 200 OK", b"abc"))
        self.assertEqual(answer.all(b"content-length"), [b"3"])
        self.assertEqual(answer.all(b"x-own"), [b"y"])
        self.assert_works(client)

    def test_head_in_pieces(self) -> None:
        """A head that comes byte by byte is read to its end."""
        client = self.rig.client()
        for byte in request(b"GET /slow HTTP/1.1", b"Cookie: " + b"x" * 40):
            client.send(bytes([byte]))
        self.assertEqual(Head(self.rig.backend.take()).line, b"GET /slow HTTP/1.1")

    def test_pipelined_in_pieces(self) -> None:
        """So is one whose beginning came together with the request before it."""
        client, backend, _ = self.forward(request() + b"GET /two HTTP/1.1\r\nHo")
        backend.send(OK + b"Content-Length: 1\r\n\r\na")
        client.send(b"st: " + WIKI + b"\r\n\r\n")
        self.assertEqual(Head(backend.take()).line, b"GET /two HTTP/1.1")

    def test_head_method(self) -> None:
        """An answer to HEAD has no body whatever its head says, and the next one is read in step."""
        client, backend, head = self.forward(request(b"HEAD / HTTP/1.1"))
        self.assertEqual(head.line, b"HEAD / HTTP/1.1")
        backend.send(OK + b"Content-Length: 5000\r\n\r\n")
        answer = Head(client.take())
        self.assertEqual((answer.all(b"content-length"), answer.rest), ([b"5000"], b""))
        self.assert_works(client)

    def test_no_content(self) -> None:
        """204 and 304 end with their head."""
        for head in (b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n"):
            client, answer = self.answer(head + b"ETag: x\r\n\r\n")
            self.assertEqual((answer.rest, answer.all(b"etag")), (b"", [b"x"]))
            self.assertNotIn(b"transfer-encoding", answer.names)
            self.assert_works(client)

    def test_length_up(self) -> None:
        """A body with a length arrives with it, in whatever pieces it came."""
        client, backend, head = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 9", body=b"ab"))
        self.assertEqual((head.all(b"content-length"), head.rest), ([b"9"], b"ab"))
        client.send(b"cde")
        client.send(b"fghi")
        self.assertEqual(backend.take(), b"cdefghi")
        backend.send(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).all(b"content-length"), [b"0"])
        self.assert_works(client)

    def test_nothing_is_left(self) -> None:
        """
        What served an exchange is gone with it, with no help of the collector: it looks seldom, so that
        whatever went in circles would be memory for hours.
        """
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        # Other tests' rigs are kept as long as the run lasts.
        before = _exchanges()
        client = self.rig.client()
        for message in (
            request(),
            request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc"),
            request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        ):
            client.send(message)
            self.rig.backend.take()
            self.rig.backend.send(OK + b"Content-Length: 3\r\n\r\nabc")
            self.assertEqual(Head(client.take()).status, 200)
            if self.front_end == "site":
                # Twisted's requests go in circles by themselves.
                gc.collect()
            self.assertEqual(_exchanges(), before, message)

    def test_empty_body_up(self) -> None:
        """A body of no bytes is said to be one: some servers insist on the header."""
        _, _, head = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 0"))
        self.assertEqual((head.all(b"content-length"), head.rest), ([b"0"], b""))

    def test_chunked_up(self) -> None:
        """A chunked body is chunked anew; extensions stay behind, good trailers come along."""
        client, backend, head = self.forward(
            request(
                b"PUT /f HTTP/1.1",
                b"Transfer-Encoding: chunked",
                b"Trailer: X-Sum",
                body=b"3;ext=1\r\nabc\r\n",
            )
        )
        self.assertEqual((head.all(b"transfer-encoding"), head.all(b"trailer")), ([b"chunked"], []))
        self.assertEqual(head.rest, b"3\r\nabc\r\n")
        client.send(b"0\r\nX-Sum: 7\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\n\r\n")
        self.assertEqual(backend.take(), b"0\r\nX-Sum: 7\r\n\r\n")
        backend.send(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 200)
        self.assert_works(client)

    def test_chunked_down(self) -> None:
        """A chunked answer is chunked anew, piece by piece, with its trailers."""
        client, backend, _ = self.forward(request())
        backend.send(OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n")
        answer = Head(client.take())
        self.assertEqual((answer.all(b"transfer-encoding"), answer.rest), ([b"chunked"], b"5\r\nhello\r\n"))
        backend.send(b"2\r\n, \r\n5\r\nworld\r\n")
        self.assertEqual(client.take(), b"2\r\n, \r\n5\r\nworld\r\n")
        backend.send(b"0\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\n\r\n")
        self.assertEqual(client.take(), b"0\r\nX-Sum: 7\r\n\r\n")
        self.assert_works(client)

    def test_close_delimited_down(self) -> None:
        """An answer that ends with the backend's connection gets an end that the client can see."""
        client, backend, _ = self.forward(request())
        backend.send(OK + b"\r\nabc")
        answer = Head(client.take())
        self.assertEqual(answer.rest, b"3\r\nabc\r\n")
        backend.transport.loseConnection()
        self.rig.network.run()
        self.assertEqual(client.take(), b"0\r\n\r\n")
        self.assert_works(client)
        self.assertEqual(len(self.rig.backends), 2)

    def test_http_1_0(self) -> None:
        """A client of 1.0 gets a length, or a body that ends with the connection; never chunks."""
        client, backend, head = self.forward(request(b"GET / HTTP/1.0"))
        self.assertEqual(head.line, b"GET / HTTP/1.1")
        backend.send(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        answer = Head(client.take())
        self.assertEqual((answer.all(b"transfer-encoding"), answer.rest), ([], b"abc"))
        self.assertEqual(answer.all(b"connection"), [b"close"])
        self.assertTrue(client.ended)

    def test_http_1_0_keep_alive(self) -> None:
        """A client of 1.0 that asks for it keeps its connection when the length is known."""
        client, backend, _ = self.forward(request(b"GET / HTTP/1.0", b"Connection: keep-alive"))
        backend.send(OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual(Head(client.take()).all(b"connection"), [b"keep-alive"])
        self.assertFalse(client.ended)
        self.assert_works(client)

    def test_connection_close(self) -> None:
        """Who asks for the end of the connection gets it after the answer."""
        client, backend, head = self.forward(request(b"GET / HTTP/1.1", b"Connection: close"))
        self.assertNotIn(b"connection", head.names)
        backend.send(OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual(Head(client.take()).all(b"connection"), [b"close"])
        self.assertTrue(client.ended)

    def test_backend_connections_live_on(self) -> None:
        """The next request goes over the same backend connection, from whatever client."""
        for _ in range(3):
            client, backend, _ = self.forward(request())
            backend.send(OK + b"Content-Length: 1\r\n\r\na")
            client.leave()
        self.assertEqual(len(self.rig.backends), 1)

    def test_pipelining(self) -> None:
        """Requests that come together are answered one after the other, in their order."""
        client = self.send(b"".join(request(b"GET /%d HTTP/1.1" % number) for number in range(3)))
        for number in range(3):
            backend = self.rig.backend
            self.assertEqual(Head(backend.take()).line, b"GET /%d HTTP/1.1" % number)
            backend.send(OK + b"Content-Length: 1\r\n\r\n%d" % number)
            self.assertEqual(Head(client.take()).rest, b"%d" % number)
        self.assertEqual(len(self.rig.finished), 3)

    def test_pipelining_behind_a_body(self) -> None:
        """So are those behind a body, and behind an answer of ours."""
        client = self.send(
            request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc")
            + request(b"GET /%00 HTTP/1.1")
            + request(b"GET /last HTTP/1.1")
        )
        backend = self.rig.backend
        self.assertEqual(Head(backend.take()).rest, b"abc")
        backend.send(OK + b"Content-Length: 1\r\n\r\na")
        first = Head(client.take())
        self.assertEqual((first.status, first.rest[:13]), (200, b"aHTTP/1.1 400"))
        self.assertEqual(Head(backend.take()).line, b"GET /last HTTP/1.1")

    def test_continue(self) -> None:
        """The backend's 100 is the client's 100, once."""
        client, backend, head = self.forward(
            request(b"POST / HTTP/1.1", b"Content-Length: 3", b"Expect: 100-continue")
        )
        self.assertEqual(head.all(b"expect"), [b"100-continue"])
        backend.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 2)
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"abc")
        self.assertEqual(backend.take(), b"abc")
        backend.send(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 200)
        self.assert_works(client)

    def test_continue_that_does_not_come(self) -> None:
        """A backend that says nothing does not keep the client waiting for more than about a second."""
        client, _, _ = self.forward(
            request(b"POST / HTTP/1.1", b"Content-Length: 3", b"Expect: 100-continue")
        )
        self.rig.pass_time(2)
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_continue_that_nobody_asked_for(self) -> None:
        """A 100 for a client that did not ask stays behind."""
        _, answer = self.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual((answer.status, answer.rest), (200, b"a"))

    def test_refused_instead_of_continue(self) -> None:
        """A final answer instead of the 100 is delivered; what comes in its stead is no request."""
        client, backend, _ = self.forward(
            request(b"POST / HTTP/1.1", b"Content-Length: 30", b"Expect: 100-continue")
        )
        backend.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 1\r\n\r\na")
        self.assertEqual(Head(client.take()).status, 401)
        client.send(request(b"GET /smuggled HTTP/1.1")[:30])
        self.rig.pass_time(4)
        self.assertFalse(any(b"smuggled" in each.received for each in self.rig.backends))

    def test_early_hints(self) -> None:
        """Other interim answers come along, to clients that know them."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nAppProxy-X: y\r\n\r\n"
        client, backend, _ = self.forward(request())
        backend.send(hints)
        interim = Head(client.take())
        self.assertEqual((interim.status, interim.names), (103, {b"link"}))
        backend.send(OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual(Head(client.take()).status, 200)
        old, backend, _ = self.forward(request(b"GET / HTTP/1.0"))
        backend.send(hints + OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual(Head(old.take()).status, 200)

    def test_early_answer(self) -> None:
        """An answer before the upload's end is delivered, and a short rest keeps the connection."""
        client, backend, _ = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 9", body=b"abc"))
        backend.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        answer = Head(client.take())
        self.assertEqual((answer.status, answer.rest), (413, b"big"))
        client.send(b"defghi")
        self.assert_works(client)
        self.assertEqual(len(self.rig.backends), 2, "the first one was left in the middle")

    def test_early_answer_to_a_long_upload(self) -> None:
        """If the rest is long, or does not come, the connection is closed, and nothing more is kept."""
        for rest in (b"", b"x" * 2_000_000):
            client, backend, _ = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 9000000"))
            backend.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            self.assertEqual(Head(client.take()).status, 413)
            if rest:
                client.send(rest)
            else:
                self.rig.pass_time(4)
            self.assertTrue(client.ended)

    def test_methods(self) -> None:
        """Methods that no list knows pass, with and without a body."""
        for method in (b"PROPFIND", b"REPORT", b"VERSION-CONTROL", b"RDG_OUT_DATA", b"MKCOL", b"purge"):
            client, backend, head = self.forward(request(method + b" /x HTTP/1.1"))
            self.assertEqual(head.line, method + b" /x HTTP/1.1")
            backend.send(b"HTTP/1.1 207 Multi-Status\r\nContent-Length: 2\r\n\r\n<>")
            self.assertEqual(Head(client.take()).status, 207)
            client.send(request(method + b" /x HTTP/1.1", b"Content-Length: 2", body=b"<>"))
            self.assertEqual(Head(backend.take()).rest, b"<>")
            backend.send(OK + b"Content-Length: 0\r\n\r\n")
            self.assertEqual(Head(client.take()).status, 200)

    def test_both_directions_at_once(self) -> None:
        """An answer may begin before the request ends, and both go on for long and slowly (RDG_IN_DATA)."""
        client, backend, _ = self.forward(request(b"RDG_IN_DATA / HTTP/1.1", b"Transfer-Encoding: chunked"))
        backend.send(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        self.assertTrue(client.take().endswith(b"1\r\na\r\n"))
        self.rig.pass_time(120)
        client.send(b"1\r\nb\r\n")
        self.assertEqual(backend.take(), b"1\r\nb\r\n")
        backend.send(b"1\r\nc\r\n")
        self.assertEqual(client.take(), b"1\r\nc\r\n")
