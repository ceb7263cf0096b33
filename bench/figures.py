"""
What several runs say together: medians, spreads, ratios, and whether to believe them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

NOISY_FOREIGN: Final = 0.05
"""Of the machine: when others take more, requests a second mean little."""

NOISY_SPREAD: Final = 0.15
"""Between the runs of one case: when they differ more, so may the medians."""

NOISY_PACE: Final = 0.25
"""When the processor's own speed varies by more, something outside of this machine slows it down."""


@dataclass(frozen=True)
class Figure:
    """
    One quantity, measured several times.

    @ivar spread: largest less smallest, as a part of the median.
    """

    median: float
    spread: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """
        @raise ValueError: if there are no values.
        """
        found = sorted(values)
        if not found:
            raise ValueError("nothing was measured")
        middle = median(found)
        return cls(middle, (found[-1] - found[0]) / middle if middle else 0.0)


def ratio(ours: float, theirs: float) -> float:
    """Ours against theirs; not a number where theirs is nothing."""
    return ours / theirs if theirs else float("nan")


def noise(foreign: Sequence[float], spreads: Sequence[float], paces: Sequence[float] = ()) -> str:
    """
    Why a measurement is not to be believed.

    @param foreign: for each run, the part of the machine that others took.
    @param spreads: for each case, the spread of its CPU per request.
    @param paces: what L{bench.pace.pace} said before each run.
    @return: empty where it is quiet.
    """
    reasons: list[str] = []
    taken = median(foreign) if foreign else 0.0
    if taken > NOISY_FOREIGN:
        reasons.append(f"other programs took {taken:.0%} of the machine")
    wide = [spread for spread in spreads if spread > NOISY_SPREAD]
    if wide:
        reasons.append(f"runs of {len(wide)} of {len(spreads)} cases differ by up to {max(wide):.0%}")
    if paces and max(paces) > (1 + NOISY_PACE) * min(paces):
        reasons.append(f"the processor was up to {max(paces) / min(paces):.1f} times as slow as at its best")
    return " and ".join(reasons)
