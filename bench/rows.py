"""
The runs of one case at one system, summed up in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.bulk import Bulk
from bench.figures import Figure, ratio
from bench.load import Case, Sample
from bench.rounds import DIRECT, Measured
from bench.section import Values

OURS: Final = "appproxy"
BAR: Final = "nginx"
MAIN_CASE: Final = Case("1k", 64)
ALONE_CASE: Final = Case("1k", 1)
"""One connection: what a request waits when nobody else asks for anything."""


def load_row(name: str, case: Case, runs: Sequence[Sample]) -> Values:
    """One row of C{results.json}; each figure is the median of the runs."""
    rate, cpu = Figure.of(run.wrk.rate for run in runs), Figure.of(run.total_microseconds for run in runs)
    costs = [run.microseconds for run in runs]
    return {
        "system": name,
        "case": case.label,
        "size": case.size,
        "connections": case.connections,
        "renewed": case.renewed,
        "pause_ms": case.pause_ms,
        "runs": len(runs),
        "requests_per_second": rate.median,
        "requests_per_second_spread": rate.spread,
        "p50_us": Figure.of(run.wrk.p50 for run in runs).median,
        "p99_us": Figure.of(run.wrk.p99 for run in runs).median,
        "cpu_us": cpu.median,
        "cpu_spread": cpu.spread,
        "cpu_us_by_role": {role: Figure.of(cost[role] for cost in costs).median for role in costs[0]},
        "mb_per_second": Figure.of(run.wrk.bytes / run.wrk.seconds / 1e6 for run in runs).median,
        "foreign_cpu": Figure.of(run.cpu.foreign for run in runs).median,
    }


def bulk_row(name: str, runs: Sequence[Bulk]) -> Values:
    """The same of downloads of 1 GiB."""
    rate, cpu = Figure.of(run.rate for run in runs), Figure.of(run.total_cpu_per_gib for run in runs)
    costs = [run.cpu_per_gib for run in runs]
    return {
        "system": name,
        "runs": len(runs),
        "mb_per_second": rate.median,
        "mb_per_second_spread": rate.spread,
        "cpu_s_per_gib": cpu.median,
        "cpu_spread": cpu.spread,
        "cpu_s_per_gib_by_role": {role: Figure.of(cost[role] for cost in costs).median for role in costs[0]},
        "foreign_cpu": Figure.of(run.cpu.foreign for run in runs).median,
    }


def load_rows(measured: Measured) -> list[Values]:
    """All loads, in the order in which they were measured."""
    return [load_row(name, measured.cases[label], runs) for (name, label), runs in measured.samples.items()]


def bulk_rows(measured: Measured) -> list[Values]:
    """All downloads."""
    return [bulk_row(name, runs) for name, runs in measured.bulk.items()]


def ratios(loads: Sequence[Values], bulks: Sequence[Values]) -> dict[str, float]:
    """
    Ours against the others, and what is added to the latency; what was not measured is missing.

    Medians against medians.
    """
    by_case = {(row["system"], row["case"]): row for row in loads}
    ours = by_case.get((OURS, MAIN_CASE.label))
    found: dict[str, float] = {}
    for name, prefix in ((BAR, ""), ("envoy", "envoy_")):
        theirs = by_case.get((name, MAIN_CASE.label))
        if ours is not None and theirs is not None:
            found[f"{prefix}cpu"] = ratio(ours["cpu_us"], theirs["cpu_us"])
            found[f"{prefix}rps"] = ratio(ours["requests_per_second"], theirs["requests_per_second"])
    rates = {row["system"]: row["mb_per_second"] for row in bulks}
    if OURS in rates and BAR in rates:
        found["bulk"] = ratio(rates[OURS], rates[BAR])
    direct = by_case.get((DIRECT, ALONE_CASE.label))
    for name, prefix in ((OURS, ""), (BAR, "nginx_")):
        alone = by_case.get((name, ALONE_CASE.label))
        if alone is not None and direct is not None:
            found[f"{prefix}p50_added_us"] = alone["p50_us"] - direct["p50_us"]
    return found


def ratio_line(found: dict[str, float]) -> str:
    """The last line on the terminal."""
    shown = ("cpu", "rps", "bulk", "p50_added_us", "envoy_cpu", "envoy_rps")
    form = {"p50_added_us": "{:.0f}"}
    return "RATIO " + " ".join(
        f"{key}={form.get(key, '{:.2f}').format(found[key])}" for key in shown if key in found
    )
