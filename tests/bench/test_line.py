"""Promises of L{bench.line} and its table."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.line import verdict
from bench.line_options import LineShape
from bench.line_table import lines


def found(bulk: float = 6.0, p99: float = 100.0) -> dict[str, Any]:
    """What one way over a line measures."""
    return {"bulk_mb_per_second": bulk, "beside_mb_per_second": bulk, "p50_ms": 50.0, "p99_ms": p99}


def results(bulk: float = 6.0, p99: float = 100.0) -> dict[str, Any]:
    """What a line measures."""
    return {"round_trip_ms": 40.0, "queue_ms": 40.0, "plain": found(), "tunnel": found(bulk, p99)}


class VerdictTests(SynchronousTestCase):
    """Whether the goals are reached."""

    def test_reached(self) -> None:
        """The goals are enough."""
        told = verdict(results(bulk=4.81, p99=190.0))
        self.assertTrue(told["reached"])
        self.assertAlmostEqual(told["bulk_of_plain"], 4.81 / 6)
        self.assertAlmostEqual(told["p99_above_round_trip_ms"], 150.0)

    def test_missed(self) -> None:
        """Either is missed by little."""
        self.assertFalse(verdict(results(bulk=4.7))["reached"])
        self.assertFalse(verdict(results(p99=190.1))["reached"])


class TableTests(SynchronousTestCase):
    """The markdown."""

    def test_table(self) -> None:
        """Every way has a row, and what was not measured says why."""
        proxy = results() | verdict(results())
        proxy |= {"alone": found(), "without-mark": found(p99=375.0), "without-turns": found(p99=930.0)}
        packets = [
            results() | {"congestion": "bbr"},
            {"congestion": "cubic", "queue_ms": 250.0, "missing": "not permitted"},
        ]
        text = "\n".join(lines({"proxy": proxy, "packets": packets}))
        for expected in (
            "| 6.00 MB/s | 6.00 MB/s | 50 ms | 930 ms |",
            "reaches 100% of plain TLS",
            "| bbr, 40 ms | 6.00 MB/s | 50, 100 ms | 6.00 MB/s | 50, 100 ms |",
            "| cubic, 250 ms | not measured: not permitted |",
        ):
            self.assertIn(expected, text)


class ShapeTests(SynchronousTestCase):
    """How slow and how far."""

    def test_bottleneck(self) -> None:
        """Bits become bytes, a round trip half of it each way, and a queue's time its bytes."""
        one_way = LineShape(round_trip=0.04, rate=50e6, queue=0.04).bottleneck()
        self.assertEqual((one_way.rate, one_way.delay, one_way.capacity), (6.25e6, 0.02, 250_000))
