"""
Daemons that grow old in a moment, while people work.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from typing import Any, Final

from appproxy.cli.client import AdminClient
from appproxy.pki.identity import Identity, load
from bench.sessions import GROUP
from tests.integration.support.attacker import Wire
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.clock import SetClock
from tests.integration.support.faulted import APPLICATION, SIGN_ON, sign_in, sign_in_settings
from tests.integration.support.installation import Installation
from tests.integration.support.load import Load, Place
from tests.integration.support.long_streams import LongStreams
from tests.integration.support.marked_backend import MarkedBackend
from tests.integration.support.processes import Running, wait_until

DAY: Final = 86400
PEOPLE: Final = 6


class LivingCase(IntegrationTestCase):
    """
    An edge, connectors of one group, maybe a relay of its own.

    @cvar with_clock: whether they see a clock that the test sets, which costs them a lot of time.
    @cvar connectors: how many.
    @cvar with_relay: whether there is a relay of its own.
    """

    connectors = 1
    with_clock = False
    with_relay = False

    def setUp(self) -> None:
        """Start them, and let people work."""
        super().setUp()
        environment: dict[str, str] = {}
        if self.with_clock:
            self.need("faketime")
            self.clock = SetClock(self.folder / "clock")
            environment = self.clock.environment
        self.backend = MarkedBackend(self.folder / "backend")
        self.start(self.backend.process)
        settings = sign_in_settings(self.folder) | {"log": {"level": "debug", "access": True}}
        self.site = Installation(self, settings=settings)
        self.people = sign_in(self.site, PEOPLE)
        self.site.environment = environment
        self.site.start_edge()
        self.daemons: dict[str, Running] = {"edge": self.site.edge}
        if self.with_relay:
            self.daemons["relay"], port = self.site.start_relay()
            self.daemons["edge"] = self.site.restart_edge(
                {"relay": {"mode": "remote", "dial": [f"127.0.0.1:{port}"]}}
            )
        self.admin = AdminClient(self.site.admin)
        work = {"internal_url": self.backend.internal_url, "groups": [GROUP], "sso": SIGN_ON}
        self.site.publish({APPLICATION: work})
        for number in range(1, self.connectors + 1):
            self.daemons[name_of(number)] = self.start_connector()
        self.wait_for(lambda: len(self.tunnels()) == self.connectors, "all tunnels")
        self.host = f"{APPLICATION}.{self.site.domain}"
        self.load = Load(Place(self.site.port, self.host, self.site.authority.ca_file), self.people, 1)
        self.load.start()
        self.addCleanup(self.load.end)

    def start_connector(self) -> Running:
        """One more of the group."""
        return self.site.start_connector("hq", [f"127.0.0.1:{self.backend.port}"])

    def begin(self) -> LongStreams:
        """Let everybody work, and begin what must not break."""
        self.load.go_on()
        self.streams = LongStreams(self.wire, f"{self.host}:{self.site.port}", self.people[0])
        self.addCleanup(self.streams.stop)
        return self.streams

    def end(self) -> None:
        """All come to their ends, and nobody saw anything."""
        self.streams.finish()
        self.load.pause()
        self.assertEqual(self.load.tally.problems[:10], [])
        for kind in ("small", "upload", "download", "messages"):
            self.assertGreater(self.load.tally.counts[f"{kind} 200"], 0, kind)

    def wire(self) -> Wire:
        """A connection to the application."""
        made = Wire(self.site.port, self.site.authority.ca_file, self.host)
        self.addCleanup(made.close)
        return made

    def wait_for(self, ready: Any, what: str) -> None:
        """Wait until something is so; the long streams go on meanwhile."""

        def moved() -> bool:
            if hasattr(self, "streams"):
                self.streams.check()
            return bool(ready())

        wait_until(moved, what)

    def tunnels(self) -> list[dict[str, Any]]:
        """The connectors' tunnels, as the edge knows them."""
        rows: Sequence[dict[str, Any]] = self.admin.get("status")["tunnels"]
        return [row for row in rows if row["role"] == "connector"]

    def identity(self, name: str) -> Identity:
        """What a daemon is, as it stands in its folder."""
        return load(self.site.folder / name / "identity")

    def look(self, *names: str) -> None:
        """Have daemons look at their certificates now, and not in an hour."""
        for name in names or self.daemons:
            self.daemons[name].signal(signal.SIGHUP)

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """What a daemon logged of a kind."""
        lines = (line for line in self.daemons[name].text.splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line["event"] == event]


def name_of(number: int) -> str:
    """What the installation calls the connector of this number."""
    return "connector" if number == 1 else f"connector-{number}"
