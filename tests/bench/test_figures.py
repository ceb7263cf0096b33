"""
Medians, spreads and the verdict on noise.
"""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import Figure, noise, ratio


class FigureTests(SynchronousTestCase):
    """One quantity, measured several times."""

    def test_median_and_spread(self) -> None:
        """The median is the middle value, the spread is from end to end, as a part of it."""
        self.assertEqual(Figure.of([30.0, 10.0, 20.0]), Figure(20.0, 1.0))

    def test_one_run(self) -> None:
        """One value spreads nowhere."""
        self.assertEqual(Figure.of([7.0]), Figure(7.0, 0.0))

    def test_nothing(self) -> None:
        """No values have no median."""
        self.assertRaises(ValueError, Figure.of, [])


class RatioTests(SynchronousTestCase):
    """Ours against theirs."""

    def test_less_is_below_one(self) -> None:
        """What costs us half is 0.5."""
        self.assertEqual(ratio(20.0, 40.0), 0.5)

    def test_against_nothing(self) -> None:
        """There is no ratio to nothing, and no crash."""
        self.assertTrue(math.isnan(ratio(1.0, 0.0)))


class NoiseTests(SynchronousTestCase):
    """Whether a run is to be believed."""

    def test_quiet(self) -> None:
        """Little foreign work and runs that agree: nothing is said."""
        self.assertEqual(noise([0.01, 0.02, 0.03], [0.05, 0.14], [7.0, 7.2]), "")

    def test_foreign_work(self) -> None:
        """Others took more than a twentieth of the machine: it is said how much."""
        self.assertIn("20%", noise([0.2, 0.2, 0.01], []))

    def test_disagreement(self) -> None:
        """Runs of one case that disagree are said to, with how far at worst."""
        self.assertIn("runs of 2 of 3 cases differ by up to 40%", noise([0.0], [0.4, 0.1, 0.16]))

    def test_slow_processor(self) -> None:
        """A processor that was slower at times is said to have been."""
        self.assertIn("2.0 times as slow", noise([0.0], [0.0], [7.0, 14.0, 7.5]))
