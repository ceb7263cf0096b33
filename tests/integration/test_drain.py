"""A connector that is to get no new requests: what is under way goes on, the others of its group serve."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.support.installation import PROGRAMS
from tests.integration.support.living import LivingCase
from tests.integration.support.processes import must_run, run


class InsideTests(LivingCase):
    """Two connectors of one group, the relay inside of the edge."""

    connectors = 2

    def drain(self, name: str, *more: str) -> str:
        """Do it; what the command says."""
        done = run((PROGRAMS / "appproxy", "--server", self.site.admin, "connector", "drain", name, *more))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The tunnels by the names of their connectors."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.tunnels():
            found.setdefault(row["name"], []).append(row)
        return found

    def served_by(self, count: int = 20) -> set[str]:
        """Which connectors new requests go to, each of a client of its own."""
        person, before = self.people[0], self.served()
        headers = [(b"Cookie", person.cookie.encode()), (b"X-Mark", b"m")]
        for _ in range(count):
            with self.wire() as wire:
                self.assertEqual(wire.ask(self.host, "/drained?", headers=headers).status, 200)
        return {name for name, served in self.served().items() if served > before[name]}

    def served(self) -> dict[str, float]:
        """How many requests came to each connector so far."""
        return {
            name: sum(
                value
                for key, value in self.site.numbers(name).items()
                if key.startswith("appproxy_requests_total")
            )
            for name in self.daemons
            if name.startswith("connector")
        }

    def test_drained(self) -> None:
        """
        New requests go to the other connector, downloads, uploads and WebSockets end by themselves, status
        says so. It outlasts a restart of the edge, and ends with C{--undo}.
        """
        self.begin()
        names = sorted(self.rows())
        busy = max(names, key=lambda name: sum(row["streams"] for row in self.rows()[name]))
        (other,) = set(names) - {busy}
        self.assertIn("gets no new requests", self.drain(busy))
        self.wait_for(lambda: all(row["drained"] for row in self.rows()[busy]), "status says so")
        self.assertFalse(any(row["drained"] for row in self.rows()[other]))
        self.assertEqual(len(self.served_by()), 1)
        self.end()
        self.daemons["edge"] = self.site.restart_edge()
        del self.streams
        self.wait_for(lambda: len(self.rows()) == 2, "both are back")
        self.assertTrue(all(row["drained"] for row in self.rows()[busy]))
        self.assertEqual(len(self.served_by()), 1)
        self.drain(busy, "--undo")
        self.wait_for(lambda: not any(row["drained"] for row in self.rows()[busy]), "it gets requests again")
        self.wait_for(lambda: len(self.served_by()) == 2, "both serve")

    def test_all_drained(self) -> None:
        """Where nobody is left, the command says so, and requests are answered at once."""
        first, second = sorted(self.rows())
        self.assertNotIn("no other connector", self.drain(first))
        self.assertIn("no other connector", self.drain(second))
        person = self.people[0]
        with self.wire() as wire:
            self.wait_for(
                lambda: all(row["drained"] for each in self.rows().values() for row in each), "it holds"
            )
            answer = wire.ask(self.host, "/x", headers=[(b"Cookie", person.cookie.encode())])
        self.assertEqual(answer.status, 504)
        listed = json.loads(
            must_run(
                (PROGRAMS / "appproxy", "--server", self.site.admin, "list", "connectors", "--output", "json")
            )
        )
        self.assertEqual({each["name"] for each in listed if each["drained_at"]}, {first, second})


class RemoteTests(InsideTests):
    """The same with a relay of its own."""

    with_relay = True
