"""
C{make soak}: a mixed load for half an hour, after which nothing may have grown.

Not among C{make test}'s, since what grows slowly shows only in a long time.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.faulted import DAEMONS, Faulted
from tests.integration.support.look import Look, Margins, look_at

SECONDS: Final = int(os.environ.get("APPPROXY_SOAK_SECONDS", "1800"))
LOOKS: Final = 10
"""How often everybody pauses, so that daemons at rest can be compared."""

MEMORY_MARGIN: Final = 0.03
"""Of a process's memory, from the middle to the end: Python's own allocator gives and takes some."""

MOST_MEMORY_MARGIN: Final = 4 << 20
DESCRIPTORS_MARGIN: Final = 8
"""Connections to the application that are kept come and go."""

TIMERS_MARGIN: Final = 8


class SoakTests(IntegrationTestCase):
    """People at work for long."""

    def test_soak(self) -> None:
        """From the middle to the end of a long load, no daemon takes more memory, descriptors or timers."""
        faulted = Faulted(self, 1)
        looks: list[dict[str, Look]] = []
        for number in range(1, LOOKS + 1):
            self._work(faulted, SECONDS / LOOKS)
            faulted.look("nobody")
            looks.append({name: look_at(faulted.site, name, faulted.daemons[name]) for name in DAEMONS})
            shown = "; ".join(f"{name}: {look}" for name, look in looks[-1].items())
            print(f"{number} of {LOOKS}: {shown}", file=sys.stderr, flush=True)
        self.assertEqual(faulted.problems[:20], [])
        middle, end = looks[LOOKS // 2 - 1], looks[-1]
        grown = {name: end[name].grown_since(middle[name], _margins(middle[name])) for name in DAEMONS}
        self.assertEqual({name: more for name, more in grown.items() if more}, {})
        print(dict(sorted(faulted.load.tally.counts.items())), file=sys.stderr)

    def _work(self, faulted: Faulted, seconds: float) -> None:
        faulted.load.go_on()
        faulted.administrator.go_on()
        threading.Event().wait(seconds)
        faulted.load.pause()
        faulted.administrator.pause()


def _margins(middle: Look) -> Margins:
    memory = min(MOST_MEMORY_MARGIN, int(middle.memory * MEMORY_MARGIN))
    return Margins(memory, DESCRIPTORS_MARGIN, TIMERS_MARGIN)
