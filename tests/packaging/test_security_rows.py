"""Tests of the table of security requirements in C{docs/security.md}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.security_rows import BEGIN, DOCUMENT, END, NOT_BUILT, ROWS, tests_by_row, with_table


class SecurityRowsTests(SynchronousTestCase):
    """Requirement by requirement."""

    def test_each_has_a_test(self) -> None:
        """Every requirement has a test that names it, and no test names one that is not there."""
        self.assertEqual(sorted(tests_by_row()), sorted(ROWS))
        self.assertLess(set(NOT_BUILT), set(ROWS))

    def test_document(self) -> None:
        """The table says what C{python -m tests.security_rows} would write."""
        document = DOCUMENT.read_text("utf-8")
        self.assertEqual((document.count(BEGIN), document.count(END)), (1, 1))
        self.assertEqual(document, with_table(document, tests_by_row()))
