"""
C{make soak}: a mixed load for half an hour, after which nothing may have grown.

Not among C{make test}'s, since what grows slowly shows only in a long time.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.faulted import DAEMONS, Faulted

SECONDS: Final = int(os.environ.get("APPPROXY_SOAK_SECONDS", "1800"))
LOOKS: Final = 10
"""How often everybody pauses, so that daemons at rest can be compared."""

MEMORY_MARGIN: Final = 0.03
"""Of a process's memory, from the middle to the end: Python's own allocator gives and takes some."""

MOST_MEMORY_MARGIN: Final = 4 << 20
DESCRIPTORS_MARGIN: Final = 8
"""Connections to the application that are kept come and go."""

TIMERS_MARGIN: Final = 8


@dataclass(frozen=True)
class Look:
    """
    One daemon at rest.

    @ivar memory: resident bytes.
    """

    memory: int
    descriptors: int
    timers: int

    def __str__(self) -> str:
        return f"{self.memory / (1 << 20):.1f} MiB, {self.descriptors} descriptors, {self.timers} timers"

    def grown_since(self, other: Look) -> list[str]:
        """What is more than it was, beyond the margins."""
        margin = min(MOST_MEMORY_MARGIN, int(other.memory * MEMORY_MARGIN))
        pairs = (
            ("memory", self.memory - other.memory, margin),
            ("descriptors", self.descriptors - other.descriptors, DESCRIPTORS_MARGIN),
            ("timers", self.timers - other.timers, TIMERS_MARGIN),
        )
        return [f"{name} +{more}" for name, more, most in pairs if more > most]


class SoakTests(IntegrationTestCase):
    """People at work for long."""

    def test_soak(self) -> None:
        """From the middle to the end of a long load, no daemon takes more memory, descriptors or timers."""
        faulted = Faulted(self, 1)
        looks: list[dict[str, Look]] = []
        for number in range(1, LOOKS + 1):
            self._work(faulted, SECONDS / LOOKS)
            faulted.look("nobody")
            looks.append({name: self._look(faulted, name) for name in DAEMONS})
            shown = "; ".join(f"{name}: {look}" for name, look in looks[-1].items())
            print(f"{number} of {LOOKS}: {shown}", file=sys.stderr, flush=True)
        self.assertEqual(faulted.problems[:20], [])
        middle, end = looks[LOOKS // 2 - 1], looks[-1]
        grown = {name: end[name].grown_since(middle[name]) for name in DAEMONS}
        self.assertEqual({name: more for name, more in grown.items() if more}, {})
        print(dict(sorted(faulted.load.tally.counts.items())), file=sys.stderr)

    def _work(self, faulted: Faulted, seconds: float) -> None:
        faulted.load.go_on()
        faulted.administrator.go_on()
        threading.Event().wait(seconds)
        faulted.load.pause()
        faulted.administrator.pause()

    def _look(self, faulted: Faulted, name: str) -> Look:
        process = faulted.daemons[name]
        timers = faulted.site.numbers(name)["appproxy_reactor_timers"]
        return Look(process.memory, len(os.listdir(f"/proc/{process.pid}/fd")), int(timers))
