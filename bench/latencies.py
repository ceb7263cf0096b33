"""
Latencies, in numbers.
"""

from __future__ import annotations

from collections.abc import Sequence


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """
    The smallest value that at least this part of the values does not exceed (nearest rank).

    @param part: above 0, up to 1.
    @raise ValueError: without any value.
    """
    if not sorted_values or not 0 < part <= 1:
        raise ValueError("a percentile is one of something")
    rank = -(-len(sorted_values) * part // 1)
    return sorted_values[int(rank) - 1]


def in_milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Count, median, P99 and maximum; the times in milliseconds."""
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50_ms": percentile(ordered, 0.50) * 1e3,
        "p99_ms": percentile(ordered, 0.99) * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }
