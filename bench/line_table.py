"""
What was measured over a line, for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{bench.line.run} found, as tables of a document."""
    proxy = results["proxy"]
    tunnel = proxy["tunnel"]
    rows = [
        ("plain TLS, each on a connection of its own", proxy["plain"]),
        ("through edge and connector", tunnel),
        ("... without `TCP_NOTSENT_LOWAT`", proxy["without-mark"]),
        ("... and without turns: one queue, first in, first out", proxy["without-turns"]),
        ("through edge and connector, no download", proxy["alone"]),
    ]
    return [
        "| | a download alone | the download beside | P50 of small requests | P99 |",
        "|---|---|---|---|---|",
        *(_row(label, found) for label, found in rows),
        "",
        f"The download reaches {proxy['bulk_of_plain']:.0%} of plain TLS; "
        f"the P99 beside it is the round trip and {proxy['p99_above_round_trip_ms']:.0f} ms.",
        "",
        *_packet_lines(results["packets"]),
    ]


def _row(label: str, found: Mapping[str, Any]) -> str:
    speeds = (
        f"{found[key]:.2f} MB/s" if key in found else ""
        for key in ("bulk_mb_per_second", "beside_mb_per_second")
    )
    return f"| {label} | {' | '.join(speeds)} | {found['p50_ms']:.0f} ms | {found['p99_ms']:.0f} ms |"


def _packet_lines(packets: Sequence[Mapping[str, Any]]) -> list[str]:
    head = [
        "| congestion control, queue | plain TLS: download | P50, P99 | the tunnel: download | P50, P99 |",
        "|---|---|---|---|---|",
    ]
    return head + [_packet_row(found) for found in packets]


def _packet_row(found: Mapping[str, Any]) -> str:
    label = f"| {found['congestion']}, {found['queue_ms']:.0f} ms |"
    if "missing" in found:
        return f"{label} not measured: {found['missing']} | | | |"
    cells = (
        f" {each['bulk_mb_per_second']:.2f} MB/s | {each['p50_ms']:.0f}, {each['p99_ms']:.0f} ms |"
        for each in (found["plain"], found["tunnel"])
    )
    return label + "".join(cells)
