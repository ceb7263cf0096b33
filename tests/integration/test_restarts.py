"""Connectors that are restarted one after the other while people work: nobody notices."""

from __future__ import annotations

import signal
from typing import Final

from tests.integration.support.living import LivingCase
from tests.integration.support.processes import Running

ROUNDS: Final = 2
END_SECONDS: Final = 60.0
"""For the longest conversation on the slowest machine."""


class InsideTests(LivingCase):
    """Two connectors of one group, the relay inside of the edge."""

    connectors = 2

    def start_connector(self) -> Running:
        """One that lets everything come to its end before it stops."""
        limits = {"drain_timeout": f"{END_SECONDS:g}s"}
        return self.site.start_connector("hq", [f"127.0.0.1:{self.backend.port}"], {"limits": limits})

    def test_restarts(self) -> None:
        """What is under way to a connector that begins to stop is served; the rest goes to the other one."""
        self.load.go_on()
        for _ in range(ROUNDS):
            for name in [each for each in self.daemons if each.startswith("connector")]:
                self.daemons[name].signal(signal.SIGTERM)
                self.assertEqual(self.daemons[name].wait_for_end(END_SECONDS + 30), 0)
                self.daemons[name] = self.site.start_again(name)
                self.wait_for(lambda: len(self.tunnels()) == self.connectors, "it is back")
        self.load.pause()
        self.assertEqual(self.load.tally.problems[:10], [])
        for kind in ("small", "upload", "download", "messages"):
            self.assertGreater(self.load.tally.counts[f"{kind} 200"], 0, kind)


class RemoteTests(InsideTests):
    """The same with a relay of its own."""

    with_relay = True
