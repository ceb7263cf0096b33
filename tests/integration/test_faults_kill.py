"""
C{kill -9}, at any moment, under load. C{make faults} goes on for longer than C{make test}.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.faulted import DAEMONS, Faulted

ROUNDS: Final = int(os.environ.get("APPPROXY_FAULT_ROUNDS", "0"))
"""How many; 0 is the short form, in which each daemon dies once."""

SEED: Final = int(os.environ.get("APPPROXY_FAULT_SEED", "1"))
"""Another one is another sequence of victims and moments."""

SHORT: Final = (*DAEMONS, "edge")
REPORT_EVERY: Final = 10


class KillTests(IntegrationTestCase):
    """Whoever dies comes back as if nothing had been."""

    def test_kill(self) -> None:
        """
        After each kill -9 the store is intact, promised changes of the catalog are kept and in use, everybody
        is signed in, no stream is stuck; and no answer was ever another's, or short without showing it.
        """
        faulted = Faulted(self, SEED)
        victims = [faulted.victim() for _ in range(ROUNDS)] or list(SHORT)
        for victim in victims:
            faulted.round(victim)
            if ROUNDS and faulted.kills % REPORT_EVERY == 0:
                self._tell(faulted)
        self._tell(faulted)
        self.assertEqual(faulted.problems[:20], [])
        self.assertEqual(faulted.kills, len(victims))
        answers = faulted.load.tally.counts
        for kind in ("small", "upload", "download", "messages", "present"):
            self.assertGreater(answers[f"{kind} 200"], 0, answers)
        self.assertGreater(faulted.administrator.promised[0], 0)

    def _tell(self, faulted: Faulted) -> None:
        if ROUNDS:
            counts = dict(sorted(faulted.load.tally.counts.items()))
            print(
                f"{faulted.kills} of {ROUNDS} kills, {faulted.administrator.promised[0]} changes,"
                f" {len(faulted.problems)} problems {faulted.problems[-3:]}; answers: {counts}",
                file=sys.stderr,
                flush=True,
            )
