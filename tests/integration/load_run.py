"""
C{make load}: thousands of connections of every kind at once, which must be held, and leave nothing behind.

Not among C{make test}'s, since it takes minutes; L{tests.integration.test_load_run} is its short form.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.loaded import Loaded, Sizes

SECONDS: Final = int(os.environ.get("APPPROXY_LOAD_SECONDS", "180"))
FULL: Final = Sizes(
    idle=10_000,
    active=2_000,
    websockets=1_000,
    slow_heads=500,
    slow_bodies=500,
    people=2_000,
    seconds=SECONDS,
    settle_seconds=5,
)
SHOWN_PROBLEMS: Final = 20


class LoadTests(IntegrationTestCase):
    """More at once than most installations ever see."""

    timeout = SECONDS + 1800

    def test_load(self) -> None:
        """
        Who behaves is served, each with what is theirs; who dawdles is shown out; and after all are gone
        everything is as before.
        """
        loaded = Loaded(self, FULL, _tell)
        loaded.run()
        _tell("\n".join(("", *loaded.table(), "")))
        self.assertEqual(loaded.problems[:SHOWN_PROBLEMS], [], f"{len(loaded.problems)} in all")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
