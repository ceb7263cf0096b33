"""
What an edge promises besides when its relays are elsewhere, and one of them goes.
"""

from __future__ import annotations

from typing import Final

from tests.contract.rig import BackendEnd, Client, Rig
from tests.contract.support import HR, ContractCase, Head, request
from tests.contract.tunnels import Relay, RemoteTunnels

OK: Final = b"HTTP/1.1 200 OK\r\n"
EMPTY: Final = OK + b"Content-Length: 0\r\n\r\n"
NTLM: Final = b"Authorization: NTLM TlRM"
REDIAL_SECONDS: Final = 40
"""Longer than any back-off."""


class RelaysTests(ContractCase):
    """Two relays, with a connector each."""

    relays = 2

    def make_rig(self, *given: object, **settings: object) -> Rig:
        """C{one} dials the first relay, C{two} the second."""
        return super().make_rig(connectors={"one": "main", "two": "main"})

    @property
    def tunnels(self) -> RemoteTunnels:
        """All relays."""
        assert isinstance(self.rig.tunnels, RemoteTunnels)
        return self.rig.tunnels

    def relay_of(self, connector: str) -> Relay:
        """The relay that a connector dialled."""
        return self.tunnels.relays[("one", "two").index(connector)]

    def begin(self, raw: bytes) -> tuple[Client, BackendEnd, str]:
        """A new client's request; the backend that has it now, and the connector."""
        client = self.send(raw)
        return client, self.rig.backend, self.rig.served[-1]

    def assert_served_by(self, connector: str, client: Client | None = None) -> None:
        """Requests succeed, all by this connector."""
        for _ in range(3):
            self.assert_works(client or self.rig.client())
            self.assertEqual(self.rig.served[-1], connector)
            self.rig.backend.transport.loseConnection()
            self.rig.network.run()

    def other(self, connector: str) -> str:
        """The other one."""
        return "two" if connector == "one" else "one"

    def test_both(self) -> None:
        """Both are used."""
        for _ in range(4):
            self.begin(request())
        self.assertEqual(sorted(self.rig.served), ["one", "one", "two", "two"])

    def test_relay_drains(self) -> None:
        """A relay that is about to stop ends what it has; new requests go by the other one."""
        client, backend, connector = self.begin(request())
        backend.send(OK + b"Content-Length: 4\r\n\r\nab")
        relay = self.relay_of(connector)
        relay.drain()
        self.rig.network.run()
        self.assert_served_by(self.other(connector))
        backend.send(b"cd")
        self.assertEqual(Head(client.take()).rest, b"abcd")
        self.rig.pass_time(1)
        self.assertEqual(relay.edges.attached, 0)

    def test_drained_too_late(self) -> None:
        """What it cannot end in time is broken off, or begun again by the other one."""
        client, backend, connector = self.begin(request())
        waiting = self.begin(request())[0]
        if self.rig.served[-1] != connector:
            waiting = self.begin(request())[0]
        backend.send(OK + b"Content-Length: 4\r\n\r\nab")
        self.relay_of(connector).drain(1)
        self.rig.pass_time(2)
        self.assertEqual(Head(client.take()).rest, b"ab")
        self.assertTrue(client.ended)
        self.assertEqual(self.rig.served[-1], self.other(connector))
        self.rig.backend.send(EMPTY)
        self.assertEqual(Head(waiting.take()).status, 200)

    def test_line_breaks(self) -> None:
        """With the line to a relay its streams end, at the backends too."""
        answered, backend, connector = self.begin(request())
        backend.send(OK + b"Content-Length: 4\r\n\r\nab")
        others: list[tuple[Client, BackendEnd]] = []
        for raw in (request(), request(b"POST / HTTP/1.1", b"Content-Length: 4", body=b"ab")) * 2:
            client, begun_at, by = self.begin(raw)
            if by == connector:
                others.append((client, begun_at))
        self.relay_of(connector).is_there = False
        self.relay_of(connector).cut()
        self.rig.network.run()
        self.assertEqual(Head(answered.take()).rest, b"ab")
        self.assertTrue(answered.ended and backend.ended)
        self.assertTrue(all(each.ended for _, each in others))
        statuses = {Head(data).status for data in (client.take() for client, _ in others) if data}
        self.assertLessEqual(statuses, {502})
        self.assert_served_by(self.other(connector))

    def test_retry(self) -> None:
        """A safe request that waits for its answer goes by the other relay; others are not sent twice."""
        for raw, again in (
            (request(), True),
            (request(b"POST / HTTP/1.1", b"Content-Length: 2", body=b"ab"), False),
        ):
            client, _, connector = self.begin(raw)
            self.relay_of(connector).cut()
            self.rig.network.run()
            if again:
                self.assertEqual(self.rig.served[-1], self.other(connector))
                self.rig.backend.send(EMPTY)
            self.assertEqual(Head(client.take()).status, 200 if again else 502)
            self.rig.pass_time(REDIAL_SECONDS)
        self.assertEqual([each.retries for each in self.rig.finished], [1, 0])

    def test_all_gone_and_back(self) -> None:
        """Without any relay there is an answer at once; one that comes back is fed anew and used."""
        for relay in self.tunnels.relays:
            relay.is_there = False
            relay.restart()
        self.rig.network.run()
        client = self.send(request())
        self.assertEqual(Head(client.take()).status, 504)
        self.assertEqual(self.reasons, [(504, "no_connector")])
        self.tunnels.relays[1].is_there = True
        self.rig.pass_time(REDIAL_SECONDS)
        self.rig.connect_tunnel("two")
        self.assert_served_by("two", client)

    def test_bound_client(self) -> None:
        """A client with a bound sign-on begins anew by the other relay; what it had is closed."""
        client, backend, connector = self.begin(request(b"GET / HTTP/1.1", NTLM))
        backend.send(EMPTY)
        client.take()
        self.relay_of(connector).is_there = False
        self.relay_of(connector).cut()
        self.rig.network.run()
        self.assertTrue(backend.ended)
        for _ in range(3):
            client.send(request(b"GET / HTTP/1.1", NTLM))
            self.rig.backend.send(EMPTY)
            self.assertEqual(Head(client.take()).status, 200)
        self.assertEqual(self.rig.served, [connector, *[self.other(connector)] * 3])
        self.assertEqual(len(self.rig.backends), 2)

    def test_bound_client_of_a_draining_relay(self) -> None:
        """Likewise when that relay is about to stop; nothing of it holds the relay up."""
        client, backend, connector = self.begin(request(b"GET / HTTP/1.1", NTLM))
        backend.send(EMPTY)
        client.take()
        self.relay_of(connector).drain()
        self.rig.network.run()
        client.send(request(b"GET / HTTP/1.1", NTLM))
        self.rig.backend.send(EMPTY)
        self.assertEqual(Head(client.take()).status, 200)
        self.assertEqual(self.rig.served[-1], self.other(connector))
        self.assertTrue(backend.ended)

    def test_session_ends(self) -> None:
        """Signing out ends what a session has open by any relay; no connector knows the user then."""
        session_id, cookie = self.signed_in()
        clients = [self.send(request(b"GET / HTTP/1.1", cookie, host=HR), HR) for _ in range(4)]
        self.assertEqual(set(self.rig.served), {"one", "two"})
        self.rig.end_session(session_id)
        self.assertEqual({Head(each.take()).status for each in clients}, {401})
        self.assertTrue(all(each.ended for each in self.rig.backends))
        for connector in self.rig.connectors.values():
            self.assertEqual(connector.end._principals, {})

    def test_users_go_with_the_line(self) -> None:
        """With an edge go its users behind the relay; the next line tells them anew."""
        _, cookie = self.signed_in()
        for _ in range(2):
            self.send(request(b"GET / HTTP/1.1", cookie, host=HR), HR)
        for relay in self.tunnels.relays:
            relay.cut()
        self.rig.network.run()
        for connector in self.rig.connectors.values():
            self.assertEqual(connector.end._principals, {})
        self.rig.pass_time(REDIAL_SECONDS)
        client = self.send(request(b"GET / HTTP/1.1", cookie, host=HR), HR)
        self.rig.backend.send(EMPTY)
        self.assertEqual(Head(client.take()).status, 200)
        self.assertEqual(len(self.rig.connectors[self.rig.served[-1]].end._principals), 1)
