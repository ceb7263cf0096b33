"""
The contract about the times that the log tells: where a request spent how long.
"""

from __future__ import annotations

from typing import Any, Final

from appproxy.observe.transaction import Transaction
from tests.contract.rig import OPEN_TO_ALL, application
from tests.contract.support import HR, ContractCase, Head, request

EMPTY: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class TimesContract(ContractCase):
    """What the connector measures arrives with the answer, or with the word that there will be none."""

    @property
    def last(self) -> Transaction:
        """What the log says of the latest request."""
        return self.rig.finished[-1]

    def assert_times(self, connector: float, backend: float) -> None:
        """So many seconds at the connector, and of these at the application; -1 is unknown."""
        self.assertAlmostEqual(self.last.connector_time, connector, 3)
        self.assertAlmostEqual(self.last.backend_time, backend, 3)
        # No sign-on of its own took place.
        self.assertEqual((self.last.sso_time, self.last.sso_mode), (-1.0, ""))

    def test_application_is_slow(self) -> None:
        """The application's time is what passes between its request and the head of its answer."""
        client, backend, _ = self.forward(request())
        self.rig.pass_time(2)
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        self.rig.pass_time(3)
        backend.send(b"ab")
        self.assertEqual(Head(client.take()).rest, b"ab")
        self.assert_times(2, 2)
        client.send(request())
        self.rig.pass_time(1)
        backend.send(EMPTY)
        self.assert_times(1, 1)

    def test_dial_is_slow(self) -> None:
        """To connect is the connector's time."""
        self.rig.behind.silent.add("wiki.internal.example")
        client = self.send(request())
        self.rig.pass_time(2)
        self.rig.behind.answer_dials()
        self.rig.pass_time(1)
        self.rig.backend.send(EMPTY)
        self.assertEqual(Head(client.take()).status, 200)
        self.assert_times(3, 1)

    def test_client_is_slow(self) -> None:
        """What a client takes for its upload is no time of the application's."""
        client, backend, _ = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"abc"))
        self.rig.pass_time(3)
        client.send(b"def")
        self.rig.pass_time(2)
        backend.send(EMPTY)
        self.assert_times(5, 2)

    def test_early_answer(self) -> None:
        """An application that answers before it has all had the request since its head."""
        _, backend, _ = self.forward(request(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"abc"))
        self.rig.pass_time(2)
        backend.send(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
        self.assert_times(2, 2)

    def test_silence(self) -> None:
        """An application that does not answer had the request all the time."""
        self.rig.publish({"wiki": application("wiki", backend_timeout="5s", **OPEN_TO_ALL)})
        client, _, _ = self.forward(request())
        self.rig.pass_time(8)
        self.assertEqual(Head(client.take()).status, 504)
        self.assertEqual(self.last.reason, "backend_timeout")
        self.assertGreaterEqual(self.last.backend_time, 5)
        self.assertLess(self.last.backend_time, 8)
        self.assertEqual(self.last.connector_time, self.last.backend_time)

    def test_refused(self) -> None:
        """An application that could not be connected to had no time."""
        self.rig.behind.refusing.add("wiki.internal.example")
        self.send(request())
        self.assertEqual(self.last.reason, "backend_refused")
        # A relay, asked once more, says itself that there is no other connector.
        self.assert_times(-1 if self.relays else 0, -1)

    def test_own_answer(self) -> None:
        """What the edge answers itself took no time anywhere else, and no tunnel."""
        self.send(request(host=HR), HR)
        self.assert_times(-1, -1)
        self.assertEqual(self.last.tunnel, "")

    def test_lost(self) -> None:
        """Of a connector that is gone nobody knows; times of an attempt before another are not kept."""
        rig = self.rig = self.make_rig(connectors={"one": "main", "two": "main"})
        rig.behind.silent.add("wiki.internal.example")
        client = self.send(request())
        first = rig.served[-1]
        rig.behind.silent.clear()
        rig.behind.refusing.add("wiki.internal.example")
        rig.connectors[first].cut()
        rig.network.run()
        self.assertEqual(Head(client.take()).status, 502)
        self.assertEqual((self.last.reason, self.last.retries), ("backend_refused", 1))
        self.assert_times(0, -1)

    def test_lost_at_last(self) -> None:
        """Times of an attempt that failed are not told of the next one, of which nobody knows."""
        rig = self.rig = self.make_rig(connectors={"one": "main", "two": "main"})
        rig.behind.refusing.add("wiki.internal.example")
        # The first attempt is refused; the second one waits for its backend when its tunnel breaks.
        dial = rig.behind.dial

        def refuse_once(host: str, closed: Any) -> Any:
            refused = dial(host, closed)
            rig.behind.refusing.clear()
            rig.behind.silent.add(host)
            return refused

        self.patch(rig.behind, "dial", refuse_once)
        client = self.send(request())
        self.assertEqual(len(rig.served), 2)
        rig.connectors[rig.served[-1]].cut()
        rig.network.run()
        self.assertEqual(Head(client.take()).status, 502)
        self.assertEqual((self.last.reason, self.last.retries), ("tunnel_lost", 1))
        self.assert_times(-1, -1)

    def test_connector(self) -> None:
        """The log names the connector, wherever its tunnel ends, also of a request that it gave up."""
        rig = self.rig = self.make_rig(connectors={"one": "main", "two": "main"})
        for _ in range(4):
            self.rig.client().send(request())
            rig.backend.send(EMPTY)
            self.assertEqual(self.last.connector, rig.served[-1])
            # The next one is dialled for, which is what tells whose it is.
            rig.backend.transport.loseConnection()
            rig.network.run()
        client = self.send(request(b"POST / HTTP/1.1", b"Content-Length: 0"))
        rig.connectors[rig.served[-1]].cut()
        rig.network.run()
        self.assertEqual(Head(client.take()).status, 502)
        self.assertEqual((self.last.reason, self.last.connector), ("tunnel_lost", rig.served[-1]))

    def test_tunnel(self) -> None:
        """Each tunnel has a number of its own, which the log names."""
        for _ in range(2):
            client = self.rig.client()
            client.send(request())
            self.rig.backend.send(EMPTY)
        first, second = (each.tunnel for each in self.rig.finished)
        self.assertTrue(first.isdigit())
        if not self.relays:
            self.assertEqual(first, second)
            self.rig.connectors["hq"].cut()
            self.rig.network.run()
            self.rig.connect_tunnel("hq")
            self.rig.client().send(request())
            self.rig.backend.send(EMPTY)
            self.assertNotEqual(self.last.tunnel, first)
