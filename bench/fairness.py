"""
Small requests beside downloads that go through the same tunnel, on one machine.

Nothing is slow here but the processors, which edge, connector, application and clients share: so this shows
how long a small request waits behind the bulk inside of the daemons. Lines are in L{bench.line}.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.clients import downloading, paced
from bench.origin import Origin
from bench.ours import Ours
from bench.requests import Target
from bench.rounds import running, tell

RATE: Final = 50.0
"""Small requests a second: a few percent of what is possible."""

SECONDS: Final = 10.0
DOWNLOADS: Final = (0, 1, 4)


def run(folder: Path) -> dict[str, Any]:
    """Measure with more and more downloads."""
    origin = Origin(folder / "origin")
    ours = Ours(folder / "ours", origin.port)
    with running(folder, origin, [ours]):
        return {str(count): _measure(folder, ours, count) for count in DOWNLOADS}


def _measure(folder: Path, ours: Ours, count: int) -> dict[str, Any]:
    tell(f"fairness: small requests beside {count} downloads")
    small, large = (
        Target(ours.port, ours.host, f"/{size}/file", ours.cookies[number])
        for number, size in enumerate(("1k", "1g"))
    )
    with ExitStack() as stack:
        bulks = [
            stack.enter_context(downloading(folder / f"download-{number}", large)) for number in range(count)
        ]
        result = paced(folder, small, RATE, SECONDS)
    return {**result, "bulk_mb_per_second": sum(bulk["mb_per_second"] for bulk in bulks)}


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{run} found, as a table of a document."""
    return [
        "| downloads beside | all of them | P50 of small requests | P99 | the client's own lateness, P99 |",
        "|---|---|---|---|---|",
        *(_row(count, found) for count, found in results.items()),
    ]


def _row(count: str, found: Mapping[str, Any]) -> str:
    times = (f"{found[key]:.1f} ms" for key in ("p50_ms", "p99_ms", "late_p99_ms"))
    return f"| {count} | {found['bulk_mb_per_second']:.0f} MB/s | {' | '.join(times)} |"
