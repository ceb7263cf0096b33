"""
What a run found, as values for C{results.json} and as the last line on the terminal.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bench.bulk import Bulk
from bench.figures import Figure, noise, ratio
from bench.load import Sample
from bench.processes import CORES
from bench.rounds import DIRECT, Measured

OURS: Final = "appproxy"
BAR: Final = "nginx"
MAIN_CASE: Final = "1k-64"
ALONE_CASE: Final = "1k-1"
"""One connection: what a request waits when nobody else asks for anything."""

Values = dict[str, Any]


def results(measured: Measured) -> Values:
    """Everything, in the form of C{results.json}."""
    loads = [_load_row(*key, runs) for key, runs in measured.samples.items()]
    bulks = [_bulk_row(name, runs) for name, runs in measured.bulk.items()]
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "foreign_cpu": Figure.of(_foreign(measured)).median if _foreign(measured) else 0.0,
        "noise": noise(_foreign(measured), [row["cpu_spread"] for row in [*loads, *bulks]]),
        "load": loads,
        "bulk": bulks,
        "peak_memory": measured.memory,
        "ratio": ratios(measured),
    }


def machine() -> Values:
    """What it ran on: cores, and versions of what the figures depend on."""
    return {
        "cores": CORES,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "nginx": _version("nginx", "-v"),
    }


def ratios(measured: Measured) -> dict[str, float]:
    """
    Ours against the others, and what we add to the latency; what was not measured is missing.

    Medians against medians, at 64 connections and 1 KB.
    """
    found: dict[str, float] = {}
    ours = measured.samples.get((OURS, MAIN_CASE))
    theirs = measured.samples.get((BAR, MAIN_CASE))
    if ours and theirs:
        found["cpu"] = ratio(_cpu(ours).median, _cpu(theirs).median)
        found["rps"] = ratio(_rate(ours).median, _rate(theirs).median)
    if OURS in measured.bulk and BAR in measured.bulk:
        found["bulk"] = ratio(*(_bulk_rate(measured.bulk[name]).median for name in (OURS, BAR)))
    for name, key in ((OURS, "p50_added_us"), (BAR, "nginx_p50_added_us")):
        added = added_latency(measured, name)
        if added is not None:
            found[key] = added
    envoy = measured.samples.get(("envoy", MAIN_CASE))
    if ours and envoy:
        found["envoy_cpu"] = ratio(_cpu(ours).median, _cpu(envoy).median)
        found["envoy_rps"] = ratio(_rate(ours).median, _rate(envoy).median)
    return found


def added_latency(measured: Measured, name: str) -> float | None:
    """Microseconds that a system adds to the median answer over one connection; L{None} if not measured."""
    runs = measured.samples.get((name, ALONE_CASE))
    direct = measured.samples.get((DIRECT, ALONE_CASE))
    if not runs or not direct:
        return None
    return Figure.of(run.wrk.p50 for run in runs).median - Figure.of(run.wrk.p50 for run in direct).median


def ratio_line(found: Mapping[str, float]) -> str:
    """The last line on the terminal."""
    forms = {"p50_added_us": "{:.0f}"}
    shown = ("cpu", "rps", "bulk", "p50_added_us", "envoy_cpu", "envoy_rps")
    return "RATIO " + " ".join(
        f"{key}={forms.get(key, '{:.2f}').format(found[key])}" for key in shown if key in found
    )


def _load_row(name: str, label: str, runs: Sequence[Sample]) -> Values:
    cpu, rate = _cpu(runs), _rate(runs)
    roles = runs[0].microseconds
    return {
        "system": name,
        "case": label,
        "runs": len(runs),
        "requests_per_second": rate.median,
        "requests_per_second_spread": rate.spread,
        "p50_us": Figure.of(run.wrk.p50 for run in runs).median,
        "p99_us": Figure.of(run.wrk.p99 for run in runs).median,
        "cpu_us": cpu.median,
        "cpu_spread": cpu.spread,
        "cpu_us_by_role": {role: Figure.of(run.microseconds[role] for run in runs).median for role in roles},
        "mb_per_second": Figure.of(run.wrk.bytes / run.wrk.seconds / 1e6 for run in runs).median,
        "foreign_cpu": Figure.of(run.cpu.foreign for run in runs).median,
    }


def _bulk_row(name: str, runs: Sequence[Bulk]) -> Values:
    rate, cpu = _bulk_rate(runs), Figure.of(run.total_cpu_per_gib for run in runs)
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


def _cpu(runs: Sequence[Sample]) -> Figure:
    return Figure.of(run.total_microseconds for run in runs)


def _rate(runs: Sequence[Sample]) -> Figure:
    return Figure.of(run.wrk.rate for run in runs)


def _bulk_rate(runs: Sequence[Bulk]) -> Figure:
    return Figure.of(run.rate for run in runs)


def _foreign(measured: Measured) -> list[float]:
    samples = [run.cpu.foreign for runs in measured.samples.values() for run in runs]
    return samples + [run.cpu.foreign for runs in measured.bulk.values() for run in runs]


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().rpartition("/")[2]
