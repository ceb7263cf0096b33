"""
The contract about what goes wrong, and whose request pays for it.
"""

from __future__ import annotations

from typing import Any, Final

from tests.contract.rig import EVE, Client, Rig, application
from tests.contract.support import HR, ContractCase, Head, request

OK: Final = b"HTTP/1.1 200 OK\r\n"


class FailuresContract(ContractCase):
    """Clients that leave, backends that break, tunnels that are not there, sessions that end."""

    def assert_refused(self, client: Client, status: int, reason: str, rig: Rig | None = None) -> Head:
        """The answer is a page with the transaction's id, and the log says why."""
        head = Head(client.take())
        transaction = (rig or self.rig).finished[-1]
        self.assertEqual((head.status, transaction.status, transaction.reason), (status, status, reason))
        self.assertIn(transaction.id.encode(), head.rest)
        self.assertEqual(head.all(b"appproxy-transaction-id"), [transaction.id.encode()])
        return head

    # -- users

    def test_who(self) -> None:
        """Of a user who is turned away, or who looks at a page of ours, the log says who it was."""
        self.rig.publish({"hr": application("hr", groups=["HR"])})
        session_id = self.rig.sign_in(EVE)
        cookie = self.rig.cookie(session_id, HR.decode()).rstrip()
        client = self.rig.client(HR.decode())
        client.send(request(b"GET / HTTP/1.1", cookie, host=HR))
        self.assert_refused(client, 403, "not_assigned")
        client.send(request(b"GET /.appproxy/session HTTP/1.1", cookie, host=HR))
        client.send(request(b"GET /.appproxy/session HTTP/1.1", host=HR))
        known = ("eve@example.com", session_id)
        self.assertEqual([(each.user, each.session) for each in self.rig.finished], [known, known, ("", "")])

    # -- clients

    def test_client_leaves(self) -> None:
        """A client that disappears takes its stream along, and the backend connection that was half-way."""
        client, backend, _ = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 9", body=b"abc"))
        client.leave()
        self.assertTrue(backend.ended)
        self.assertEqual(self.rig.open_streams(), 0)
        self.assertEqual(self.reasons, [(0, "client_gone")])

    def test_client_leaves_in_the_answer(self) -> None:
        """Likewise in the middle of the answer."""
        client, backend, _ = self.forward(request())
        backend.send(OK + b"Content-Length: 9\r\n\r\nabc")
        client.leave()
        self.assertTrue(backend.ended)
        self.assertEqual(self.reasons, [(200, "client_gone")])

    def test_client_leaves_while_dialling(self) -> None:
        """Nobody goes on dialling for a client that is gone."""
        self.rig.behind.silent.add("wiki.internal.example")
        client = self.send(request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc"))
        client.leave()
        self.rig.behind.answer_dials()
        self.assertEqual(self.rig.backends, [])

    def test_slow_dial(self) -> None:
        """What came in the meantime arrives once the backend is there."""
        self.rig.behind.silent.add("wiki.internal.example")
        client = self.send(request(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"abc"))
        client.send(b"def")
        self.rig.behind.answer_dials()
        self.assertEqual(Head(self.rig.backend.take()).rest, b"abcdef")

    def test_bad_body(self) -> None:
        """A body that breaks the rules is answered with 400, and the backend never sees its end."""
        client, backend, _ = self.forward(
            request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n")
        )
        client.send(b"0x3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 400)
        self.assertTrue(client.ended)
        self.assertTrue(backend.ended)
        self.assertFalse(backend.take())
        self.assertEqual(self.reasons, [(400, "chunk_size")])

    def test_bad_body_in_the_answer(self) -> None:
        """Once the answer has begun, it is broken off."""
        client, backend, _ = self.forward(
            request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n")
        )
        backend.send(OK + b"Content-Length: 9\r\n\r\nabc")
        self.assertEqual(Head(client.take()).rest, b"abc")
        client.send(b"nonsense\r\n")
        self.assertEqual(client.take(), b"")
        self.assertTrue(client.ended)

    # -- backends

    def test_nobody_listens(self) -> None:
        """A backend that refuses the connection: 502."""
        self.rig.behind.refusing.add("wiki.internal.example")
        client = self.send(request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc"))
        self.assert_refused(client, 502, "backend_refused")
        self.rig.behind.refusing.clear()
        self.assert_works(client)

    def test_backend_closes(self) -> None:
        """A backend that closes without an answer: 502, and the connection to the client lives on."""
        client, backend, _ = self.forward(request())
        backend.transport.loseConnection()
        self.rig.network.run()
        self.assert_refused(client, 502, "backend_protocol")
        self.assert_works(client)

    def test_backend_closes_in_the_answer(self) -> None:
        """In the answer: the client's transfer is broken off, visibly, after what there was."""
        for answer in (
            b"Content-Length: 9\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ):
            client, backend, _ = self.forward(request())
            backend.send(OK + answer)
            backend.transport.loseConnection()
            self.rig.network.run()
            head = Head(client.take())
            self.assertIn(head.rest, (b"abc", b"3\r\nabc\r\n"))
            self.assertTrue(client.ended)
            self.assertEqual(self.reasons[-1], (200, "backend_protocol"))

    def test_unclean_end(self) -> None:
        """A body that ends with the backend's connection is complete only if that closed in order."""
        client, backend, _ = self.forward(request())
        backend.send(OK + b"\r\nabc")
        backend.transport.abortConnection()
        self.rig.network.run()
        self.assertTrue(client.take().endswith(b"3\r\nabc\r\n"))
        self.assertTrue(client.ended)

    def test_cut_for_http_1_0(self) -> None:
        """Where only the connection's end says that the answer is complete, it comes with an error."""
        client, backend, _ = self.forward(request(b"GET / HTTP/1.0"))
        backend.send(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        backend.transport.abortConnection()
        self.rig.network.run()
        self.assertFalse(client.half_closed)
        assert client.lost is not None
        self.assertIn("non-clean", client.lost.getErrorMessage())

    def test_stale_backend_connection(self) -> None:
        """A kept connection that the backend just closed costs a GET nothing, and is not tried for a POST."""
        for again in (True, False):
            client, backend, _ = self.forward(request())
            backend.send(OK + b"Content-Length: 0\r\n\r\n")
            client.take()
            backend.transport.pauseProducing()
            if again:
                client.send(request())
            else:
                client.send(request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc"))
            backend.transport.loseConnection()
            self.rig.network.run()
            if again:
                self.assertIsNot(self.rig.backend, backend)
                self.rig.backend.send(OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
                self.assertEqual(Head(client.take()).status, 200)
            else:
                self.assert_refused(client, 502, "backend_protocol")

    def test_too_long(self) -> None:
        """
        Bytes beyond the answer's end reach nobody, and no other request uses their connection.

        Security row 27.
        """
        client, backend, _ = self.forward(request())
        backend.send(OK + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        self.assertEqual(Head(client.take()).rest, b"abc")
        self.assert_works(client)
        self.assertEqual(len(self.rig.backends), 2)

    def test_sloppy_backend(self) -> None:
        """An answer that could be read in two ways is none: 502."""
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc\r\n\r\n",
            b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            b"<html>\r\n\r\n",
        ):
            client, backend, _ = self.forward(request())
            backend.send(answer)
            self.assert_refused(client, 502, "backend_protocol")
            self.assert_works(client)

    def test_silent_backend(self) -> None:
        """A backend that says nothing: 504 after its time."""
        client, _, _ = self.forward(request())
        self.rig.pass_time(84)
        self.assertEqual(client.take(), b"")
        self.rig.pass_time(4)
        self.assert_refused(client, 504, "backend_timeout")

    # -- tunnels

    def test_no_connector(self) -> None:
        """Without a tunnel: 504 at once, for a request with a body too."""
        rig = self.make_rig(connectors={})
        client = rig.client()
        for raw in (request(), request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc")):
            client.send(raw)
            self.assert_refused(client, 504, "no_connector", rig)
            self.assertFalse(client.ended)
        self.assert_quiet(rig)

    def test_tunnel_breaks(self) -> None:
        """A safe request goes over another tunnel; anything else is not sent twice."""
        rig = self.make_rig(connectors={"one": "main", "two": "main"})
        for raw, again in (
            (request(b"GET /x HTTP/1.1"), True),
            (request(b"DELETE /x HTTP/1.1"), False),
            (request(b"POST /x HTTP/1.1", b"Content-Length: 3", body=b"abc"), False),
        ):
            client = rig.client()
            client.send(raw)
            (tunnel,) = [each for each in rig.connectors.values() if each.protocol.session.active_streams]
            tunnel.cut()
            rig.network.run()
            if again:
                self.assertEqual(Head(rig.backend.take()).line, b"GET /x HTTP/1.1")
                rig.backend.send(OK + b"Content-Length: 1\r\n\r\na")
                self.assertEqual(Head(client.take()).status, 200)
                self.assertEqual(rig.finished[-1].retries, 1)
            else:
                self.assert_refused(client, 502, "tunnel_lost", rig)
            rig.connect_tunnel(tunnel.id)
        self.assert_quiet(rig)

    def test_tunnel_breaks_in_the_answer(self) -> None:
        """An answer that has begun is broken off, and never begun anew."""
        client, backend, _ = self.forward(request())
        backend.send(OK + b"Content-Length: 9\r\n\r\nabc")
        self.rig.connectors["hq"].cut()
        self.rig.network.run()
        self.assertEqual(Head(client.take()).rest, b"abc")
        self.assertTrue(client.ended)
        self.assertEqual(self.reasons, [(200, "tunnel_lost")])

    def test_other_groups_connector(self) -> None:
        """
        An application is served by its own group's connectors alone.

        Security row 35.
        """
        rig = self.make_rig(
            {"wiki": application("wiki", pre_authentication="passthrough", connector_group="other")}
        )
        client = rig.client()
        client.send(request())
        self.assert_refused(client, 504, "no_connector", rig)

    # -- sessions and the catalog

    def test_application_removed(self) -> None:
        """What was under way is broken off, and nothing new begins."""
        waiting, _, _ = self.forward(request())
        answered, backend, _ = self.forward(request())
        backend.send(OK + b"Content-Length: 9\r\n\r\nabc")
        answered.take()
        self.rig.publish({"hr": application("hr")})
        self.assertEqual(Head(waiting.take()).status, 503)
        self.assertTrue(answered.ended)
        self.assertEqual(answered.take(), b"")
        waiting.send(request())
        self.assertEqual(Head(waiting.take()).status, 404)

    def test_session_ends(self) -> None:
        """
        Signing out breaks off what that session had open, at once, and nobody else's.

        Security row 35.
        """
        session_id, cookie = self.signed_in()
        other = self.rig.cookie(self.rig.sign_in(EVE), HR.decode()).rstrip()
        opened: list[tuple[Client, Any]] = []
        for each in (cookie, other, cookie):
            client, backend, _ = self.forward(request(b"GET / HTTP/1.1", each, host=HR), HR)
            opened.append((client, backend))
        download, upload = opened[0], opened[1]
        download[1].send(OK + b"Content-Length: 9\r\n\r\nabc")
        download[0].take()
        self.rig.end_session(session_id)
        self.assertTrue(download[0].ended and download[1].ended)
        self.assertEqual(download[0].take(), b"")
        self.assertEqual(Head(opened[2][0].take()).status, 401)
        self.assertFalse(upload[0].ended)
        upload[1].send(OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual(Head(upload[0].take()).status, 200)

    def test_session_ends_for_a_slow_reader(self) -> None:
        """Nor does what waits for a slow client reach it after that."""
        session_id, cookie = self.signed_in()
        client, backend, _ = self.forward(request(b"GET / HTTP/1.1", cookie, host=HR), HR)
        client.stop_reading()
        backend.send(OK + b"Content-Length: 900000\r\n\r\n" + b"x" * 500_000)
        self.rig.end_session(session_id)
        client.go_on_reading()
        self.assertEqual(client.take(), b"")
        self.assertIsNotNone(client.lost)
