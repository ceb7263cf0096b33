"""
From rows to the last line, the chart and the document.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench.chart import draw
from bench.comparison import is_case, parse_case
from bench.document import BEGIN, END, replaced
from bench.load import Case
from bench.processes import BenchError, foreign_cpu
from bench.rounds import DIRECT
from bench.rows import ratio_line, ratios


def load(system: str, case: str, cpu: float, rate: float = 1.0, p50: float = 1.0) -> dict[str, Any]:
    """One row of a load."""
    return {
        "system": system,
        "case": case,
        "cpu_us": cpu,
        "cpu_us_by_role": {"outer": cpu / 2, "inner": cpu / 2},
        "requests_per_second": rate,
        "p50_us": p50,
        "p99_us": p50 * 2,
    }


LOADS = [
    load("appproxy", "1k-64", 30.0, 28_000.0),
    load("nginx", "1k-64", 40.0, 20_000.0),
    load("appproxy", "1k-1", 90.0, p50=180.0),
    load("nginx", "1k-1", 90.0, p50=150.0),
    load(DIRECT, "1k-1", 10.0, p50=50.0),
]
BULKS = [{"system": "appproxy", "mb_per_second": 600.0}, {"system": "nginx", "mb_per_second": 500.0}]
ENVOY = load("envoy", "1k-64", 80.0, 16_000.0)


class RatioTests(SynchronousTestCase):
    """The line that is read by programs."""

    def test_quick(self) -> None:
        """Four figures, two decimals, microseconds whole."""
        line = ratio_line(ratios(LOADS, BULKS))
        self.assertEqual(line, "RATIO cpu=0.75 rps=1.40 bulk=1.20 p50_added_us=130")

    def test_with_envoy(self) -> None:
        """Where Envoy was measured, two more."""
        line = ratio_line(ratios([*LOADS, ENVOY], BULKS))
        self.assertTrue(line.endswith("p50_added_us=130 envoy_cpu=0.38 envoy_rps=1.75"), line)

    def test_single_case(self) -> None:
        """What was not measured is not there."""
        self.assertEqual(ratio_line(ratios([], BULKS)), "RATIO bulk=1.20")


class ChartTests(SynchronousTestCase):
    """The picture."""

    def test_drawing(self) -> None:
        """It is well-formed, follows its reader's light or dark, and names every system."""
        picture = draw({"load": [*LOADS, ENVOY], "bulk": BULKS})
        texts = {each.text for each in ElementTree.fromstring(picture).iter() if each.tag.endswith("text")}
        self.assertLessEqual({"appproxy", "nginx", "envoy"}, texts)
        self.assertIn("prefers-color-scheme: dark", picture)


class DocumentTests(SynchronousTestCase):
    """What is written into the manual."""

    def test_between_the_marks(self) -> None:
        """Only what stands between the marks is replaced, however often."""
        text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
        once = replaced(text, "new")
        self.assertEqual(once, f"before\n{BEGIN}\nnew\n{END}\nafter\n")
        self.assertEqual(replaced(once, "new"), once)

    def test_without_marks(self) -> None:
        """A document without marks is left alone, loudly."""
        self.assertRaises(BenchError, replaced, f"text {END} {BEGIN}", "new")


class CaseTests(SynchronousTestCase):
    """Names of cases on the command line."""

    def test_labels(self) -> None:
        """A label is read as what it was made of."""
        for case in (Case("1k", 64), Case("64k", 1), Case("1k", 8, renewed=True)):
            self.assertEqual(parse_case(case.label), case)

    def test_others(self) -> None:
        """Anything else is no case."""
        for wrong in ("", "1k", "1k-x", "2k-64", "1k-64-again"):
            self.assertFalse(is_case(wrong), wrong)


class ForeignTests(SynchronousTestCase):
    """Whose work it was."""

    def test_share(self) -> None:
        """What is not ours is the others', as a part of all cores; rounding never makes it negative."""
        self.assertGreater(foreign_cpu(busy=3.0, own=2.0, elapsed=1.0), 0.0)
        self.assertEqual(foreign_cpu(busy=1.9, own=2.0, elapsed=1.0), 0.0)
