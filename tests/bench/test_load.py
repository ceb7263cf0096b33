"""
What wrk tells, and whether its answers count.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.load import Case, Wrk, check, parse_wrk
from bench.processes import BenchError

OUTPUT = """\
Running 2s test @ https://app.example:8443/
  1 threads and 64 connections
Requests/sec:   7000.00

RESULT {"requests": 14000, "microseconds": 2000000, "bytes": 18000000, "p50": 8300, "p90": 9000, \
"p99": 14000, "most": 20000, "connect": 1, "read": 2, "write": 3, "status": 4, "timeout": 5}
"""
CASE = Case("1k", 64)


class ParseTests(SynchronousTestCase):
    """Reading wrk's output."""

    def test_figures(self) -> None:
        """Every figure of the last line is taken over; what went wrong is added up."""
        found = parse_wrk(OUTPUT)
        self.assertEqual(found, Wrk(14000, 2.0, 18_000_000, 8300, 9000, 14000, 15))
        self.assertEqual(found.rate, 7000.0)

    def test_no_result(self) -> None:
        """Output without that line is an error that shows it."""
        self.assertIn("unable to connect", str(self.assertRaises(BenchError, parse_wrk, "unable to connect")))


class CheckTests(SynchronousTestCase):
    """A run counts only if the answers were the origin's."""

    def refused(self, wrk: Wrk, asked_of_origin: int) -> str:
        """Why a run does not count."""
        return str(self.assertRaises(BenchError, check, wrk, CASE, asked_of_origin))

    def test_good(self) -> None:
        """All answers came, all from the origin, all of the right size: nothing is raised."""
        check(Wrk(1000, 1.0, 1_200_000, 1, 1, 1, 0), CASE, 1010)

    def test_nothing(self) -> None:
        """No answers at all do not count as a fast run."""
        self.assertIn("no answer", self.refused(Wrk(0, 1.0, 0, 0, 0, 0, 0), 0))

    def test_errors(self) -> None:
        """More than one answer in a thousand that is an error fails the run."""
        self.assertIn("2 of 1000", self.refused(Wrk(1000, 1.0, 1_200_000, 1, 1, 1, 2), 1010))

    def test_sign_in_pages(self) -> None:
        """Redirects are no errors to wrk; that the origin was never asked gives them away."""
        self.assertIn("origin's", self.refused(Wrk(1000, 1.0, 1_200_000, 1, 1, 1, 0), 3))

    def test_empty_answers(self) -> None:
        """Answers without their bodies fail the run."""
        self.assertIn("too small", self.refused(Wrk(1000, 1.0, 300_000, 1, 1, 1, 0), 1010))
