"""Promises of L{bench.kerberos}, its crowd and its domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.burst import NO_ANSWER, Answer, read_people, told, write_people
from bench.delay_proxy import read_route
from bench.domain import wanted
from bench.kerberos import ALLOWED_MICROSECONDS, around, cost, lines
from bench.requests import Target
from bench.rounds import Measured
from bench.sessions import user

CROWD = {
    "asked": 4,
    "count": 2,
    "statuses": {"200": 2, "504": 1, NO_ANSWER: 1},
    "p50_ms": 1000.0,
    "p99_ms": 2000.0,
    "max_ms": 2000.5,
    "plain_before": {"count": 100, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0},
    "plain_during": {"count": 200, "p50_ms": 1.5, "p99_ms": 2.5, "max_ms": 4.5},
    "direct_before": {"count": 100, "p50_ms": 0.5, "p99_ms": 1.0, "max_ms": 1.5},
    "direct_during": {"count": 200, "p50_ms": 0.7, "p99_ms": 1.2, "max_ms": 2.2},
}


def row(name: str, edge: float, connector: float, pause_ms: int = 0) -> dict[str, Any]:
    """What one application costs."""
    return {
        "pause_ms": pause_ms,
        "system": name,
        "cpu_us": edge + connector,
        "cpu_us_by_role": {"edge": edge, "connector": connector},
        "cpu_spread": 0.02,
        "requests_per_second": 1000.0,
        "p50_us": 2000.0,
        "p99_us": 9000.0,
        "foreign_cpu": 0.0,
    }


def costs(connector: float) -> dict[str, Any]:
    """With so many microseconds in the connector, where the application without sign-on takes 40."""
    full = [row("none", 20.0, 20.0), row("Kerberos", 500.0, 500.0)]
    calm = [row("none", 60.0, 40.0, 55), row("Kerberos", 70.0, connector, 40)]
    return cost([*full, *calm], Measured(paces=[1.0, 2.0, 2.0]))


class CostTests(SynchronousTestCase):
    """What Kerberos adds to a request."""

    def test_allowed(self) -> None:
        """The difference at one rate counts, edge and connector together; the limit itself is allowed."""
        found = costs(40.0 + ALLOWED_MICROSECONDS - 10.0)
        self.assertEqual((found["added_us"], found["reached"]), (ALLOWED_MICROSECONDS, True))

    def test_too_much(self) -> None:
        """A microsecond more is not."""
        self.assertFalse(costs(41.0 + ALLOWED_MICROSECONDS - 10.0)["reached"])


class CrowdTests(SynchronousTestCase):
    """What became of those who came at once."""

    def test_answers(self) -> None:
        """Times are those of good answers; the end is that of the last answer, good or not."""
        answers = [Answer("200", 1.0), Answer("200", 3.0), Answer("504", 5.0), Answer(NO_ANSWER, 4.0)]
        found = told(answers, 100.0)
        self.assertEqual(found["statuses"], {"200": 2, "504": 1, NO_ANSWER: 1})
        self.assertEqual((found["asked"], found["count"], found["max_ms"]), (4, 2, 3000.0))
        self.assertEqual((found["begin"], found["end"]), (100.0, 105.0))

    def test_nobody(self) -> None:
        """Where no answer was good there are no times."""
        found = told([Answer("504", 5.0)], 100.0)
        self.assertEqual((found["count"], "p50_ms" in found), (0, False))

    def test_beside(self) -> None:
        """A request belongs to the time in which it was due; what comes after the crowd is nobody's."""
        each = [(9.9, 0.001), (10.0, 0.002), (11.0, 0.004), (11.1, 9.0)]
        found = around("plain", each, 10.0, 11.0)
        self.assertEqual(found["plain_before"]["max_ms"], 1.0)
        self.assertEqual((found["plain_during"]["count"], found["plain_during"]["max_ms"]), (2, 4.0))

    def test_people(self) -> None:
        """A file holds a crowd: the same question, a cookie each; others cannot read it."""
        file = Path(self.mktemp()) / "people.json"
        write_people(file, Target(443, "app.example", "/"), ["a=1", "b=2"])
        self.assertEqual([each.cookie for each in read_people(file)], ["a=1", "b=2"])
        self.assertEqual(file.stat().st_mode & 0o077, 0)


class TableTests(SynchronousTestCase):
    """The markdown."""

    def test_tables(self) -> None:
        """Both applications, the crowd, and what was beside it; who was not answered is said."""
        text = "\n".join(lines({**costs(140.0), "crowd": CROWD}))
        for part in (
            "| none | as many of both | 100 | 60 | 40 | 1,000 | 2.0 | 9.0 | 2% |",
            "| Kerberos | as many of both | 210 | 70 | 140 |",
            "| Kerberos | all that it takes | 1000 | 500 | 500 |",
            "adds 110 us: that is within the 200 us",
            "2.00 times as slow as at its best, by which 55 us are left of it.",
            "| the application itself, before | 100 | 0.5 | 1.0 | 1.5 |",
            "| 4 first requests at once | 2 of 4 | 1000.0 | 2000.0 | 2000.5 |",
            "Not answered rightly: 1 times 504, 1 times none.",
            "| ... meanwhile | 200 | 1.5 | 2.5 | 4.5 |",
        ):
            self.assertIn(part, text)
        self.assertIn("Not a quiet run", text)

    def test_exceeded(self) -> None:
        """Too much is said to be."""
        results = {**costs(1000.0), "crowd": CROWD, "noise": "others worked"}
        text = "\n".join(lines(results))
        self.assertIn("**exceeds** the 200 us", text)
        self.assertIn("Not a quiet run: others worked", text)


class DomainTests(SynchronousTestCase):
    """Who is in the domain."""

    def test_people(self) -> None:
        """The accounts are those that the sessions' users are found by."""
        found = {each.name: each for each in wanted(3).accounts}
        for number in range(3):
            principal = user(number)
            account = found[principal.on_premises_sam_account_name]
            self.assertEqual(account.attributes["userPrincipalName"], principal.user_principal_name)


class RouteTests(SynchronousTestCase):
    """Where the proxy leads to."""

    def test_routes(self) -> None:
        """A port of this address, or of another."""
        self.assertEqual(read_route("1024:443"), (1024, ("127.0.0.1", 443)))
        self.assertEqual(read_route("1024:127.65.0.9:88"), (1024, ("127.65.0.9", 88)))
        self.assertRaises(ValueError, read_route, "1024")
