"""L{appproxy.connector.backend_connection}."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.backend_connection import WRITE_PIECE_BYTES, AnswerListener, BackendConnection
from appproxy.httpwire.heads import End, ResponseHead
from tests.connector.support import FakeTransport, connected


class Listener(AnswerListener):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.body = b""

    def answer_head(self, head: ResponseHead) -> None:
        """Note it."""
        self.calls.append(("head", head.status))

    def answer_data(self, data: bytes) -> None:
        """Gather it."""
        self.body += data

    def answer_end(self, end: End) -> None:
        """Note it."""
        self.calls.append(("end", end.trailers))

    def answer_failed(self, rule: str, started: bool) -> None:
        """Note it."""
        self.calls.append(("failed", rule, started))

    def bug(self, failure: Failure) -> None:
        """Note it."""
        self.calls.append(("bug", failure.type))

    def request_writable(self, writable: bool) -> None:
        """Note it."""
        self.calls.append(("writable", writable))


class ConnectionTests(SynchronousTestCase):
    """L{BackendConnection}."""

    def begun(
        self, method: bytes = b"GET", upgrade: bytes | None = None
    ) -> tuple[BackendConnection, FakeTransport, Listener]:
        """A connection with an exchange under way."""
        self.closed: list[BackendConnection] = []
        connection, transport = connected(self.closed.append)
        listener = Listener()
        connection.begin(listener, method, upgrade)
        return connection, transport, listener

    def test_answer(self) -> None:
        """An answer, in one piece."""
        connection, transport, listener = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        self.assertEqual((listener.calls, listener.body), ([("head", 200), ("end", [])], b"hi"))
        self.assertTrue(connection.finish())
        self.assertFalse(connection.busy)

    @settings(max_examples=50)
    @given(st.lists(st.integers(0, 90), max_size=6))
    def test_any_split(self, cuts: list[int]) -> None:
        """The same, however the network cuts it."""
        said = (
            b"HTTP/1.1 103 Hints\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        )
        connection, transport, listener = self.begun()
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(said)], strict=True):
            if said[start:end]:
                transport.say(said[start:end])
        self.assertEqual(listener.calls, [("head", 103), ("head", 200), ("end", [])])
        self.assertEqual(listener.body, b"hi")
        self.assertTrue(connection.finish())

    def test_bytes_after_the_end(self) -> None:
        """A byte too many: the answer counts, the connection does not."""
        connection, transport, _ = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!")
        self.assertFalse(connection.finish())

    def test_close_asked_for(self) -> None:
        """Neither does it after C{Connection: close}."""
        connection, transport, _ = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertFalse(connection.finish())

    def test_listener_raises(self) -> None:
        """A listener whose own code fails is told so: its stream would wait for ever."""

        class Broken(Listener):
            def answer_head(self, head: ResponseHead) -> None:
                raise ZeroDivisionError

            def request_writable(self, writable: bool) -> None:
                raise ZeroDivisionError

        connection, transport = connected(lambda _: None)
        listener = Broken()
        connection.begin(listener, b"GET", None)
        connection.pauseProducing()
        transport.say(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(listener.calls[:2], [("bug", ZeroDivisionError)] * 2)

    def test_bytes_while_idle(self) -> None:
        """Bytes that nobody asked for close the connection."""
        connection, transport, listener = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.finish()
        transport.say(b"H")
        self.assertEqual((transport.aborted, connection.open), (True, False))
        transport.say(b"TTP/1.1 200 OK")
        self.assertEqual(listener.body, b"")

    def test_after_a_reset(self) -> None:
        """After an exchange was given up nothing of its answer goes anywhere."""
        connection, transport, listener = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        self.assertFalse(connection.finish())
        connection.discard()
        transport.say(b"secret!")
        transport.lose(False)
        self.assertEqual((listener.body, listener.calls), (b"hi", [("head", 200)]))
        self.assertEqual(self.closed, [connection])

    def test_unclean_connection_serves_no_more(self) -> None:
        """It cannot even be made to."""
        connection, transport, _ = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        connection.finish()
        self.assertRaises(RuntimeError, connection.begin, Listener(), b"GET", None)
        self.assertFalse(connection.busy)

    def test_lost(self) -> None:
        """A connection that ends says how far the answer had come."""
        for said, failed in (
            (b"", ("failed", "closed", False)),
            (b"HTTP/1.1 2", ("failed", "closed_before_head", True)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", ("failed", "closed_in_body", True)),
        ):
            _, transport, listener = self.begun()
            if said:
                transport.say(said)
            transport.lose()
            self.assertEqual(listener.calls[-1], failed)

    def test_until_close(self) -> None:
        """A body without length ends with the connection: with a clean end only."""
        for clean, last in ((True, ("end", [])), (False, ("failed", "closed_in_body", True))):
            connection, transport, listener = self.begun()
            transport.say(b"HTTP/1.1 200 OK\r\n\r\nhi")
            transport.lose(clean)
            self.assertEqual(listener.calls[-1], last)
            self.assertFalse(connection.finish())

    def test_broken_rule(self) -> None:
        """A flaw closes the connection and is named; what came with it is not passed on."""
        _, transport, listener = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP")
        self.assertEqual(listener.body, b"hi")
        _, transport, listener = self.begun()
        transport.say(b"SSH-2.0-OpenSSH\r\n")
        self.assertEqual(listener.calls, [("failed", "status_line", True)])
        self.assertTrue(transport.aborted)

    def test_raw(self) -> None:
        """After a 101 bytes pass unread, and the connection serves nothing else."""
        connection, transport, listener = self.begun(upgrade=b"websocket")
        transport.say(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nab")
        connection.switch_to_raw()
        transport.say(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(listener.body, b"abHTTP/1.1 200 OK\r\n\r\n")
        transport.lose()
        self.assertEqual(listener.calls[-1], ("end", []))
        self.assertFalse(connection.finish())

    def test_pause(self) -> None:
        """Reading stops while the client is slow, and goes on for whoever comes next."""
        connection, transport, _ = self.begun()
        connection.pause_answer(True)
        self.assertTrue(transport.paused)
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.finish()
        self.assertFalse(transport.paused)

    def test_large_writes(self) -> None:
        """What is large is written in pieces that TLS takes well."""
        connection, transport, _ = self.begun()
        pieces: list[int] = []
        self.patch(transport, "write", lambda data: pieces.append(len(data)))
        connection.write(bytes(2 * WRITE_PIECE_BYTES + 1))
        self.assertEqual(pieces, [WRITE_PIECE_BYTES, WRITE_PIECE_BYTES, 1])

    def test_producer_while_idle(self) -> None:
        """A transport may pause and go on while nobody uses the connection."""
        connection, transport, _ = self.begun()
        transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.finish()
        transport.producer.pauseProducing()
        transport.producer.resumeProducing()
        transport.producer.stopProducing()
        self.assertTrue(connection.open)
