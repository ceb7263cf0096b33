"""L{appproxy.model.advice}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.advice import ADVICE, BAD_REQUEST, advice
from appproxy.model.refusal import ERROR_OF_REASON


class AdviceTests(SynchronousTestCase):
    """What operators are told."""

    def test_every_reason(self) -> None:
        """There is no reason of ours without a word of advice."""
        self.assertEqual(set(ERROR_OF_REASON) - set(ADVICE), set())

    def test_others(self) -> None:
        """A rule's name is the client's mistake; no reason needs no advice."""
        self.assertEqual(advice("both_length_and_chunked"), BAD_REQUEST)
        self.assertEqual(advice(""), "")
