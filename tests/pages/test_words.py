"""
Tests of L{appproxy.pages.words}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.refusal import REASONS, Error, Refusal
from appproxy.pages.words import explain


class ExplainTests(SynchronousTestCase):
    """L{explain}."""

    def test_every_reason(self) -> None:
        """No reason of the table is left without its own words."""
        last = explain(Refusal(Error.InternalServerError, "not a reason"))
        for error, reasons in REASONS.items():
            for reason in reasons:
                self.assertNotEqual(explain(Refusal(error, reason)), last, reason)

    def test_parser_rules(self) -> None:
        """A broken rule of the parser is explained by its status name."""
        for error in (Error.BadRequest, Error.UriTooLong, Error.HeadTooLarge, Error.RequestTimeout):
            self.assertTrue(explain(Refusal(error, "some_rule")).title)

    def test_plain_words(self) -> None:
        """No sentence speaks of daemons, tunnels or ports: the reader only wanted an application."""
        for error, reasons in REASONS.items():
            for reason in reasons:
                words = explain(Refusal(error, reason))
                text = f"{words.title} {words.text} {words.advice}".lower()
                for jargon in ("tunnel", "relay", "daemon", "token", " port "):
                    self.assertNotIn(jargon, text, reason)
