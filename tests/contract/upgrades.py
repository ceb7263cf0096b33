"""
The contract about connections that leave HTTP.
"""

from __future__ import annotations

from typing import Final

from tests.contract.rig import OPEN_TO_ALL, BackendEnd, Client, application
from tests.contract.support import HR, WIKI, ContractCase, Head, request

ASK: Final = (b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: k")
SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: a\r\nSet-Cookie: b=1\r\n\r\n"
)


class UpgradesContract(ContractCase):
    """WebSockets and their like."""

    def open(self, *headers: bytes, early: bytes = b"") -> tuple[Client, BackendEnd, Head]:
        """A WebSocket that the backend accepts; the answer's head."""
        client, backend, head = self.forward(request(b"GET /ws HTTP/1.1", *ASK, *headers, body=early))
        self.assertEqual((head.all(b"upgrade"), head.all(b"connection")), ([b"websocket"], [b"Upgrade"]))
        self.assertEqual(head.all(b"sec-websocket-key"), [b"k"])
        self.assertEqual(head.rest, b"")
        backend.send(SWITCH)
        return client, backend, Head(client.take())

    def test_websocket(self) -> None:
        """After the 101 bytes go both ways as they are; its cookie is kept."""
        client, backend, answer = self.open()
        self.assertEqual((answer.status, answer.all(b"upgrade")), (101, [b"websocket"]))
        self.assertEqual(answer.all(b"set-cookie"), [b"b=1; Secure"])
        for data in (b"\x81\x85abcd", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 70_000):
            client.send(data)
            self.assertEqual(backend.take(), data)
            backend.send(data)
            self.assertEqual(client.take(), data)
        self.rig.pass_time(600)
        client.send(b"still there")
        self.assertEqual(backend.take(), b"still there")

    def test_with_the_answer(self) -> None:
        """What the backend sends right behind its 101 arrives."""
        client, backend, _ = self.forward(request(b"GET /ws HTTP/1.1", *ASK))
        backend.send(SWITCH + b"hello")
        self.assertEqual(Head(client.take()).rest, b"hello")

    def test_with_the_request(self) -> None:
        """What the client sends before the 101 waits for it."""
        _, backend, answer = self.open(early=b"early")
        self.assertEqual(answer.status, 101)
        self.assertEqual(backend.take(), b"early")

    def test_too_much_before_the_answer(self) -> None:
        """But not without bound."""
        client, _, _ = self.forward(request(b"GET /ws HTTP/1.1", *ASK))
        client.send(b"x" * 200_000)
        self.assertTrue(client.ended)
        self.assertEqual(Head(client.take()).status, 400)

    def test_client_closes(self) -> None:
        """The end on the client's side reaches the backend, with what was written last."""
        client, backend, _ = self.open()
        client.transport.write(b"bye")
        client.transport.loseConnection()
        self.rig.network.run()
        self.assertEqual(backend.take(), b"bye")
        self.rig.pass_time(40)
        self.assertTrue(backend.ended)
        self.assertEqual(self.rig.open_streams(), 0)

    def test_backend_closes_upgraded(self) -> None:
        """The end on the backend's side reaches the client, with what was written last; no stream stays."""
        client, backend, _ = self.open()
        backend.transport.write(b"bye")
        backend.transport.loseConnection()
        self.rig.network.run()
        self.assertEqual(client.take(), b"bye")
        self.assertTrue(client.ended)
        self.assertEqual(self.rig.open_streams(), 0)
        self.assertEqual(self.reasons, [(101, "")])

    def test_declined(self) -> None:
        """A backend that answers otherwise is heard; then the connection ends: bytes may be under way."""
        client, backend, _ = self.forward(request(b"GET /ws HTTP/1.1", *ASK, body=b"maybe a frame"))
        backend.send(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
        answer = Head(client.take())
        self.assertEqual((answer.status, answer.rest, answer.all(b"connection")), (426, b"no", [b"close"]))
        self.assertTrue(client.ended)
        self.assertEqual(self.rig.open_streams(), 0)

    def test_h2c(self) -> None:
        """An upgrade that the application does not allow is none (curl's h2c): the request is served."""
        client, backend, head = self.forward(
            request(
                b"GET / HTTP/1.1",
                b"Connection: Upgrade, HTTP2-Settings",
                b"Upgrade: h2c",
                b"HTTP2-Settings: A",
            )
        )
        self.assertFalse({b"upgrade", b"connection", b"http2-settings"} & head.names)
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
        self.assertEqual(Head(client.take()).status, 200)
        self.assert_works(client)

    def test_upgrade_with_a_body(self) -> None:
        """An upgrade on anything but a GET without body is none either, and the body stays a body."""
        client, backend, head = self.forward(
            request(b"POST / HTTP/1.1", *ASK, b"Content-Length: 3", body=b"abc")
        )
        self.assertNotIn(b"upgrade", head.names)
        self.assertEqual(head.rest, b"abc")
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 200)
        self.assert_works(client)

    def test_switch_that_nobody_asked_for(self) -> None:
        """A 101 out of the blue is a broken answer."""
        _, answer = self.answer(SWITCH)
        self.assertEqual(answer.status, 502)

    def test_no_upgrades_allowed(self) -> None:
        """An application can have none at all."""
        self.rig.publish({"wiki": application("wiki", **OPEN_TO_ALL, upgrades=[])})
        _, _, head = self.forward(request(b"GET /ws HTTP/1.1", *ASK))
        self.assertNotIn(b"upgrade", head.names)

    def test_foreign_origin(self) -> None:
        """
        Another site's page opens no WebSocket with the user's cookie; our own may.

        Security row 33.
        """
        cookie = self.signed_in()[1]
        for origin, status in ((b"https://evil.example", 403), (b"null", 403), (b"https://" + HR, 101)):
            client = self.rig.client(HR.decode())
            client.send(request(b"GET /ws HTTP/1.1", *ASK, cookie, b"Origin: " + origin, host=HR))
            if status == 101:
                self.rig.backend.send(SWITCH)
            self.assertEqual(Head(client.take()).status, status, origin)

    def test_signed_out(self) -> None:
        """Without a session a WebSocket gets a 401, never a redirect."""
        client = self.send(request(b"GET /ws HTTP/1.1", *ASK, host=HR), HR)
        self.assertEqual(Head(client.take()).status, 401)

    def test_first_sight(self) -> None:
        """A session that this edge has not seen yet is looked up, for an upgrade as for any request."""
        session_id, cookie = self.signed_in()
        self.rig.sessions._memory.sessions.pop(session_id)
        client = self.rig.client(HR.decode())
        client.send(request(b"GET /ws HTTP/1.1", *ASK, cookie, host=HR, body=b"early"))
        self.rig.backend.send(SWITCH)
        self.assertEqual(Head(client.take()).status, 101)
        self.assertTrue(self.rig.backend.take().endswith(b"\r\n\r\nearly"))

    def test_host_of_another(self) -> None:
        """A tunnel that breaks ends the connection."""
        client, backend, _ = self.open()
        self.rig.connectors["hq"].cut()
        self.rig.network.run()
        self.assertTrue(client.ended)
        self.rig.pass_time(40)
        self.assertTrue(backend.ended)
        self.assertEqual(self.reasons, [(101, "tunnel_lost")])
        self.assertNotIn(WIKI, client.take())
