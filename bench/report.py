"""
Loads and downloads as sections of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bench.figures import noise
from bench.rounds import Measured
from bench.rows import bulk_rows, load_rows, ratios
from bench.section import Section, Values, table

_ANSWERS: Final = {"1k": "1 KB", "64k": "64 KB"}


def load_section(measured: Measured) -> Section:
    """
    Everything that L{bench.rounds.Rounds} measured.

    The chart is drawn from its values.
    """
    loads, bulks = load_rows(measured), bulk_rows(measured)
    found = ratios(loads, bulks)
    values: Values = {
        "noise": noise(
            [row["foreign_cpu"] for row in [*loads, *bulks]],
            [row["cpu_spread"] for row in [*loads, *bulks]],
            measured.paces,
        ),
        "load": loads,
        "bulk": bulks,
        "peak_memory": measured.memory,
        "missing": measured.missing,
        "ratio": found,
    }
    lines = [
        *_introduction(values),
        *load_table(loads),
        "",
        *_added(found),
        "",
        "One client fetches 1 GiB:",
        "",
        *bulk_table(bulks),
        "",
        "The most memory that each process ever had resident, over all of this:",
        "",
        *memory_table(measured.memory),
    ]
    return Section("load", "Beside the others", lines, values)


def load_table(rows: Sequence[Values]) -> list[str]:
    """Loads of small answers, case by case."""
    heads = [
        "load",
        "system",
        "requests/s",
        "P50 ms",
        "P99 ms",
        "CPU us a request",
        "of that",
        "MB/s",
        "spread",
    ]
    ordered = sorted(rows, key=lambda row: (row["size"], row["renewed"], row["connections"]))
    made = []
    before = ""
    for row in ordered:
        made.append(["" if row["case"] == before else _load_name(row), *_load_cells(row)])
        before = row["case"]
    return table(heads, made)


def _load_name(row: Values) -> str:
    connections = f"{row['connections']} connection{'s' if row['connections'] > 1 else ''}"
    return (
        f"{_ANSWERS[row['size']]}, {connections}{', a new one after 10 requests' if row['renewed'] else ''}"
    )


def _load_cells(row: Values) -> list[str]:
    return [
        row["system"],
        f"{row['requests_per_second']:,.0f}",
        f"{row['p50_us'] / 1000:.2f}",
        f"{row['p99_us'] / 1000:.1f}",
        f"{row['cpu_us']:.0f}",
        _by_role(row["cpu_us_by_role"], ".0f"),
        f"{row['mb_per_second']:.0f}",
        f"{row['cpu_spread']:.0%}",
    ]


def bulk_table(rows: Sequence[Values]) -> list[str]:
    """Downloads of 1 GiB."""
    return table(
        ["system", "MB/s", "CPU s a GiB", "of that", "spread"],
        [
            [
                row["system"],
                f"{row['mb_per_second']:.0f}",
                f"{row['cpu_s_per_gib']:.2f}",
                _by_role(row["cpu_s_per_gib_by_role"], ".2f"),
                f"{row['cpu_spread']:.0%}",
            ]
            for row in rows
        ],
    )


def memory_table(memory: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Peaks by system and role."""
    return table(
        ["system", "MB", "of that"],
        [
            [
                name,
                f"{sum(roles.values()) / 1e6:.0f}",
                _by_role({r: b / 1e6 for r, b in roles.items()}, ".0f"),
            ]
            for name, roles in memory.items()
        ],
    )


def _introduction(values: Values) -> list[str]:
    runs = [row["runs"] for row in values["load"]]
    text = (
        f"Medians of {min(runs)} to {max(runs)} runs, taken in turns. CPU is user and system time of the "
        "system's own processes. Spread is that of the CPU figure: largest less smallest, of the median."
    )
    noisy = values["noise"]
    state = f"**Not a quiet run: {noisy}.** Read the CPU columns." if noisy else "The machine was quiet."
    missing = [f"{name} was not measured: {why}." for name, why in values["missing"].items()]
    return [text, "", " ".join([state, *missing]), ""]


def _added(found: Mapping[str, float]) -> list[str]:
    if "p50_added_us" not in found:
        return []
    text = f"To the median answer over one connection appproxy adds {found['p50_added_us']:.0f} us"
    if "nginx_p50_added_us" in found:
        text += f", nginx twice {found['nginx_p50_added_us']:.0f} us"
    return [f"{text}, against plain HTTP to the origin."]


def _by_role(costs: Mapping[str, float], form: str) -> str:
    return " + ".join(f"{cost:{form}} {role}" for role, cost in costs.items())
