"""
What the parts of the contract share: a rig for each test, requests, and a look
at heads that takes nothing for granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.application import Application
from tests.contract.rig import DOMAIN, OPEN_TO_ALL, BackendEnd, Client, Rig, application

WIKI: Final = b"wiki." + DOMAIN.encode()
HR: Final = b"hr." + DOMAIN.encode()


def request(line: bytes = b"GET / HTTP/1.1", *headers: bytes, body: bytes = b"", host: bytes = WIKI) -> bytes:
    """A request's bytes; the headers as they stand on their lines."""
    return b"\r\n".join([line, b"Host: " + host, *headers, b"", b""]) + body


class Head:
    """
    A head taken apart.

    @ivar line: the first line.
    @ivar rest: what follows the head.
    """

    def __init__(self, data: bytes) -> None:
        head, separator, self.rest = data.partition(b"\r\n\r\n")
        assert separator, data
        self.line, *lines = head.split(b"\r\n")
        self.headers = [
            (name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)
        ]

    @property
    def status(self) -> int:
        """An answer's status."""
        return int(self.line.split(b" ")[1])

    def all(self, name: bytes) -> list[bytes]:
        """Every value of one header."""
        return [value for other, value in self.headers if other == name]

    @property
    def names(self) -> set[bytes]:
        """All names, in lower case."""
        return {name for name, _ in self.headers}


class ContractCase(SynchronousTestCase):
    """
    Each test has an edge, a connector and two applications: C{wiki}, open to
    all, and C{hr} with sign-in. After each, nothing may be left behind.
    """

    front_end = "channel"
    relays = 0
    applications: Mapping[str, Application] = {
        "wiki": application("wiki", **OPEN_TO_ALL),
        "hr": application("hr"),
    }

    def setUp(self) -> None:
        self.rig = self.make_rig()

    def tearDown(self) -> None:
        self.assert_quiet(self.rig)

    def make_rig(self, applications: Mapping[str, Application] | None = None, **settings: Any) -> Rig:
        """A rig with this front end, and as many relays of their own."""
        served = applications if applications is not None else self.applications
        rig = Rig(self.front_end, served, **{"relays": self.relays, **settings})
        self.addCleanup(rig.stop)
        return rig

    def assert_quiet(self, rig: Rig) -> None:
        """Once all clients are gone, no stream, no timer and no open transaction is left."""
        for client in rig.clients:
            if client.lost is None:
                client.leave()
        rig.pass_time(3)
        self.assertEqual(rig.web.live.count, 0)
        self.assertEqual(rig.open_streams(), 0)
        self.assertEqual(len(rig.web.exchanges.wheel), 0)
        ids = [each.id for each in rig.finished]
        self.assertEqual(len(ids), len(set(ids)), "one transaction, one line")

    # -- one exchange

    def send(self, raw: bytes, host: bytes = WIKI) -> Client:
        """A new client sends this."""
        client = self.rig.client(host.decode())
        client.send(raw)
        return client

    def forward(self, raw: bytes, host: bytes = WIKI) -> tuple[Client, BackendEnd, Head]:
        """A new client sends this, and the backend gets the head."""
        client = self.send(raw, host)
        self.assertEqual(client.take(), b"")
        backend = self.rig.backend
        return client, backend, Head(backend.take())

    def ask(self, *headers: bytes) -> Head:
        """What a backend gets for a GET with these headers."""
        return self.forward(request(b"GET / HTTP/1.1", *headers))[2]

    def answer(self, raw: bytes, method: bytes = b"GET") -> tuple[Client, Head]:
        """What a client gets for what a backend answers."""
        client, backend, _ = self.forward(request(method + b" / HTTP/1.1"))
        backend.send(raw)
        return client, Head(client.take())

    def assert_works(self, client: Client, host: bytes = WIKI) -> None:
        """The connection serves another request."""
        client.send(request(b"GET /again HTTP/1.1", host=host))
        (backend,) = [each for each in self.rig.backends if each.received.startswith(b"GET /again ")]
        backend.take()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")
        self.assertEqual(Head(client.take()).rest, b"again")

    def signed_in(self) -> tuple[str, bytes]:
        """A session's id, and its Cookie header at C{hr}."""
        session_id = self.rig.sign_in()
        return session_id, self.rig.cookie(session_id, HR.decode()).rstrip()

    @property
    def reasons(self) -> list[tuple[int, str]]:
        """Status and reason of each finished transaction."""
        return [(each.status, each.reason) for each in self.rig.finished]
