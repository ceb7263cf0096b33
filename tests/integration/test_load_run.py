"""C{make load} in small, and what happens where no more are let in."""

from __future__ import annotations

from typing import Final

from tests.integration.support.attacker import HostileBackend, Wire
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.crowd import Active, Idle, SlowHead, Talking
from tests.integration.support.installation import Installation
from tests.integration.support.loaded import Loaded, Sizes
from tests.integration.support.processes import wait_until

SMALL: Final = Sizes(
    idle=100,
    active=40,
    websockets=20,
    slow_heads=10,
    slow_bodies=5,
    people=20,
    seconds=5,
    settle_seconds=0.1,
    head_timeout="2s",
)


class LoadTests(IntegrationTestCase):
    """Everybody at once, though not many."""

    def test_load(self) -> None:
        """
        Who behaves is served, each with what is theirs; who dawdles is shown out; and after all are gone
        everything is as before.
        """
        told: list[str] = []
        loaded = Loaded(self, SMALL, told.append)
        loaded.run()
        self.assertEqual(loaded.problems, [], told)
        counts = {kind: crowd.outcome.counts for kind, crowd in loaded.crowds.items()}
        self.assertGreaterEqual(counts[Idle]["200"], 2 * SMALL.idle)
        self.assertGreater(counts[Active]["200"], 0)
        self.assertGreater(counts[Talking]["message"], SMALL.websockets)
        self.assertGreaterEqual(counts[SlowHead]["408"], SMALL.slow_heads)


class LimitTests(IntegrationTestCase):
    """C{limits.connections} and C{limits.connections_per_address}."""

    MAXIMUM = 12

    def setUp(self) -> None:
        """An edge that takes few, from each address fewer."""
        super().setUp()
        limits = {"connections": self.MAXIMUM, "connections_per_address": self.MAXIMUM - 4}
        self.backend = HostileBackend()
        self.addCleanup(self.backend.stop)
        self.site = Installation(self, settings={"limits": limits})
        # Passthrough is all that can be had of an edge without a provider.
        self.site.start_edge()
        open_to_all = {"internal_url": self.backend.internal_url, "pre_authentication": "passthrough"}
        self.site.publish({"open": open_to_all})
        self.connector = self.site.start_connector("hq", [f"127.0.0.1:{self.backend.port}"])
        self.host = f"open.{self.site.domain}"
        self.wires: list[Wire] = []

    def come(self, source: str, *, served: bool = True) -> None:
        """A client from an address, who asks something and gets it if there is a connector."""
        wire = Wire(self.site.port, self.site.authority.ca_file, self.host, source=source)
        self.addCleanup(wire.close)
        if served:
            wait_until(lambda: wire.ask(self.host).status == 200, "the connector serves")
        else:
            self.assertEqual(wire.ask(self.host).status, 504)
        self.wires.append(wire)

    def refused(self) -> dict[str, float]:
        """How many were turned away, by limit."""
        numbers = self.site.numbers("edge")
        return {
            name: numbers[f'appproxy_refused_total{{reason="{name}"}}']
            for name in ("connection_limit", "connection_limit_of_address")
        }

    def assert_turned_away(self, source: str) -> None:
        """Somebody from there does not get in, and is told by the end of the connection."""
        for _ in range(5):
            self.assertRaises(
                OSError, Wire, self.site.port, self.site.authority.ca_file, self.host, source=source
            )

    def lines(self, event: str) -> int:
        """How many lines tell of it."""
        return self.site.edge.text.count(f'"event":"{event}"')

    def test_limits(self) -> None:
        """
        Who comes too late is turned away, told of once and counted; those inside are served on, a connector
        gets in all the same, and who leaves makes room.

        Security row 30.
        """
        # The connector's tunnel is one of its address.
        for _ in range(self.MAXIMUM - 4 - 1):
            self.come("127.0.0.1")
        self.assert_turned_away("127.0.0.1")
        self.assertEqual(self.refused(), {"connection_limit": 0, "connection_limit_of_address": 5})
        for _ in range(4):
            self.come("127.0.0.2")
        self.assert_turned_away("127.0.0.3")
        self.assertEqual(self.refused(), {"connection_limit": 5, "connection_limit_of_address": 5})
        self.assertEqual((self.lines("connections_full"), self.lines("connections_of_address_full")), (1, 1))
        for wire in self.wires:
            self.assertEqual(wire.ask(self.host).status, 200)
        self.connector.stop()
        # The tunnel's place is taken.
        self.come("127.0.0.3", served=False)
        self.assert_turned_away("127.0.0.3")
        self.site.start_again("connector")
        wait_until(lambda: self.wires[0].ask(self.host).status == 200, "the connector is back")
        for wire in self.wires[-2:]:
            wire.close()
        clients = len(self.wires) - 2
        wait_until(lambda: self.site.numbers("edge")["appproxy_client_connections"] == clients, "two left")
        self.come("127.0.0.3")
