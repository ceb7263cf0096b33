"""
How slow and how far away a line is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from bench.bottleneck import Bottleneck


@dataclass(frozen=True)
class LineShape:
    """
    The same in both directions.

    @ivar round_trip: seconds there and back, with nothing in the queues.
    @ivar rate: bits a second.
    @ivar queue: seconds that the bytes in a full queue take to leave.
    """

    round_trip: float = 0.040
    rate: float = 50e6
    queue: float = 0.040

    def bottleneck(self) -> Bottleneck:
        """One direction of it."""
        return Bottleneck(self.rate / 8, self.round_trip / 2, int(self.rate / 8 * self.queue))

    def arguments(self) -> Sequence[str]:
        """As options of a command, for L{shape_of}."""
        return (f"--round-trip={self.round_trip}", f"--rate={self.rate}", f"--queue={self.queue}")


def add_shape(parser: argparse.ArgumentParser) -> None:
    """The options."""
    usual = LineShape()
    parser.add_argument("--round-trip", type=float, default=usual.round_trip, help="seconds")
    parser.add_argument("--rate", type=float, default=usual.rate, help="bits a second")
    parser.add_argument("--queue", type=float, default=usual.queue, help="seconds to empty it")


def shape_of(options: argparse.Namespace) -> LineShape:
    """What was asked for."""
    return LineShape(options.round_trip, options.rate, options.queue)
