"""
The contract about pace: nobody's slowness fills memory, and none lasts for ever.
"""

from __future__ import annotations

from typing import Final

from tests.contract.rig import Client
from tests.contract.support import ContractCase, Head, request

OK: Final = b"HTTP/1.1 200 OK\r\n"
MEGABYTE: Final = 1_000_000
ENOUGH: Final = 400_000
"""What may wait between two ends: a stream's window, its queue, and two sockets' buffers."""


class PaceContract(ContractCase):
    """Back-pressure and deadlines."""

    def most_waiting(self, client: Client) -> int:
        """The most that the edge ever held for this client's socket."""
        return int(client.transport.peer.most_waiting)

    def test_slow_reader(self) -> None:
        """
        A client that reads slowly slows its backend; what waits for it is bounded, and all arrives.

        Security row 31.
        """
        client, backend, _ = self.forward(request())
        client.stop_reading()
        backend.send(OK + b"Content-Length: %d\r\n\r\n" % (8 * MEGABYTE))
        for _ in range(8):
            backend.send(b"x" * MEGABYTE)
        self.assertGreater(len(backend.transport.waiting), 7 * MEGABYTE)
        self.assertLess(self.most_waiting(client), ENOUGH)
        other, backend_of_other, _ = self.forward(request())
        backend_of_other.send(OK + b"Content-Length: 1\r\n\r\na")
        self.assertEqual(Head(other.take()).rest, b"a")
        client.go_on_reading()
        self.assertEqual(len(Head(client.take()).rest), 8 * MEGABYTE)
        self.assert_works(client)

    def test_slow_backend(self) -> None:
        """A backend that reads slowly slows the client's upload."""
        client, backend, _ = self.forward(request(b"PUT / HTTP/1.1", b"Content-Length: %d" % (8 * MEGABYTE)))
        backend.stop_reading()
        for _ in range(8):
            client.send(b"x" * MEGABYTE)
        self.assertGreater(len(client.transport.waiting), 7 * MEGABYTE)
        backend.go_on_reading()
        self.assertEqual(len(backend.take()), 8 * MEGABYTE)
        backend.send(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 200)
        self.assert_works(client)

    def test_backend_that_never_reads(self) -> None:
        """But not for ever."""
        client, backend, _ = self.forward(request(b"PUT / HTTP/1.1", b"Content-Length: %d" % (8 * MEGABYTE)))
        backend.stop_reading()
        client.send(b"x" * 8 * MEGABYTE)
        self.rig.pass_time(150)
        self.assertEqual(Head(client.take()).status, 504)
        self.assertEqual(self.reasons, [(504, "backend_timeout")])

    def test_slow_upgrade(self) -> None:
        """Likewise on an upgraded connection, in both directions."""
        client, backend, _ = self.forward(
            request(b"GET /ws HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
        )
        backend.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        client.take()
        for one, other in ((client, backend), (backend, client)):
            other.stop_reading()
            one.send(b"x" * 4 * MEGABYTE)
            self.assertGreater(len(one.transport.waiting), 3 * MEGABYTE)
            other.go_on_reading()
            self.assertEqual(len(other.take()), 4 * MEGABYTE)

    def test_who_asks_and_never_reads(self) -> None:
        """A client that sends requests and reads no answer gets no more of them than fit its socket."""
        client = self.rig.client()
        client.stop_reading()
        client.send(request(b"GET /%00 HTTP/1.1") * 4000)
        self.assertLess(self.most_waiting(client), ENOUGH)
        client.go_on_reading()
        self.assertEqual(client.take().count(b"HTTP/1.1 400 "), 4000)

    def test_last_answer_to_a_slow_reader(self) -> None:
        """The end of the connection waits until the slow client has read the answer."""
        client, backend, _ = self.forward(request(b"GET / HTTP/1.1", b"Connection: close"))
        client.stop_reading()
        backend.send(OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)
        self.rig.pass_time(100)
        client.go_on_reading()
        self.assertEqual(len(Head(client.take()).rest), 100_000)
        self.assertTrue(client.ended)

    def test_who_never_reads(self) -> None:
        """But not for ever."""
        client, backend, _ = self.forward(request())
        client.stop_reading()
        backend.send(OK + b"Content-Length: 9000000\r\n\r\n" + b"x" * MEGABYTE)
        self.rig.pass_time(700)
        self.assertIsNotNone(client.lost)
        self.assertEqual(self.rig.open_streams(), 0)

    def test_slow_upload(self) -> None:
        """
        A body that hardly moves is given up with 408, and the connection with it; one that moves well goes
        on for long.
        """
        client, _, _ = self.forward(request(b"PUT / HTTP/1.1", b"Content-Length: 5000000"))
        for _ in range(10):
            client.send(b"x" * 10_000)
            self.rig.pass_time(29)
        self.assertFalse(client.ended)
        self.rig.pass_time(62)
        head = Head(client.take())
        self.assertEqual((head.status, head.all(b"connection")), (408, [b"close"]))
        self.assertTrue(client.ended)
        self.assertEqual(self.reasons, [(408, "body_too_slow")])

    def test_upload_held_up(self) -> None:
        """Slowness that the backend caused is not the client's."""
        client, backend, _ = self.forward(request(b"PUT / HTTP/1.1", b"Content-Length: 1000000"))
        self.rig.pass_time(1)
        backend.stop_reading()
        client.send(b"x" * 900_000)
        self.rig.pass_time(58)
        backend.go_on_reading()
        self.rig.pass_time(2)
        self.assertFalse(client.ended)
        client.send(b"x" * 100_000)
        backend.send(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 200)

    def test_long_wait(self) -> None:
        """Once the answer has begun, it may take its time (server-sent events)."""
        client, backend, _ = self.forward(request())
        backend.send(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.rig.pass_time(900)
        backend.send(b"6\r\ndata: \r\n")
        self.assertTrue(client.take().endswith(b"6\r\ndata: \r\n"))

    def test_many_streams(self) -> None:
        """A hundred clients at once each get their own answer, whatever the order it comes in."""
        clients = [self.send(request(b"GET /%d HTTP/1.1" % number)) for number in range(100)]
        backends = list(self.rig.backends)
        for number in (*range(1, 100, 2), *range(0, 100, 2)):
            self.assertEqual(Head(backends[number].take()).line, b"GET /%d HTTP/1.1" % number)
            backends[number].send(OK + b"Content-Length: 5\r\n\r\n%05d" % number)
            self.assertEqual(Head(clients[number].take()).rest, b"%05d" % number)
