"""L{appproxy.connector.tally}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.tally import Tally
from appproxy.observe.series import MAXIMUM_SERIES, OTHER, Counter


class TallyTests(SynchronousTestCase):
    """L{Tally}."""

    def test_counts(self) -> None:
        """Every request is counted, each with its application."""
        counter = Counter()
        tally = Tally(counter)
        for application in ("wiki", "mail", "wiki"):
            tally.served(application)
        self.assertEqual(counter.series, {("wiki", "", ""): 2, ("mail", "", ""): 1})

    def test_invented_names(self) -> None:
        """An edge that invents applications does not make it grow; all of its requests are counted."""
        counter = Counter()
        tally = Tally(counter)
        for number in range(MAXIMUM_SERIES + 10):
            tally.served(f"app{number}")
        self.assertEqual(len(tally._keys), MAXIMUM_SERIES)
        self.assertEqual(counter.series[OTHER, OTHER, OTHER], 10)
