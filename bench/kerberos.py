"""
What Kerberos sign-on costs: a request once the user's ticket is at hand, and 500 users who come at once
while the KDC is 50 ms away.

The same edge and connector serve two applications of one Apache: one asks nobody who they are, the other
checks a ticket with each request and proves itself, as Windows' servers do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.burst import write_people
from bench.clients import ENVIRONMENT, call, last_line, module
from bench.domain import Domain, prepare
from bench.figures import noise
from bench.kerberos_origin import KerberosOrigin
from bench.kerberos_ours import KerberosOurs
from bench.latencies import in_milliseconds
from bench.load import Case
from bench.processes import Process
from bench.requests import Target
from bench.rounds import Measured, Rounds, running, tell
from bench.rows import MAIN_CASE, load_rows
from bench.section import Values, table

USERS: Final = 100
"""At work at the same time, each with backend connections of their own."""

CROWD: Final = 500
"""Who come at once."""

ALLOWED_MICROSECONDS: Final = 200.0
"""By how much a request may cost more CPU in edge and connector than one without sign-on."""

PAUSE_MS: Final = 40
"""
Of each connection after an answer, where both applications are to be asked as often. With all that they bear,
the one without sign-on answers four times as many requests, which share the daemons' turns.
"""

PLAIN_RATE: Final = 100.0
"""Requests a second to the other application, while the crowd comes."""

_ROUNDS: Final = 3
_SECONDS: Final = 5
_TRIAL_SECONDS: Final = 2
_LEAD_IN: Final = 1
_BEFORE_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 120.0
_PATH: Final = "/1k/file"


def run(folder: Path) -> Values:
    """Measure both: about two minutes."""
    prepare()
    with ExitStack() as stops:
        domain = Domain()
        stops.callback(domain.stop)
        tell("making an Active Directory")
        domain.start(USERS + CROWD)
        origin = KerberosOrigin(domain)
        ours = KerberosOurs(folder / "ours", origin, domain, USERS, CROWD)
        with running(folder, origin, [ours, ours.plain]) as rounds:
            return {**_cost(folder, rounds, ours), "crowd": _crowd(folder, ours)}


def _cost(folder: Path, rounds: Rounds, ours: KerberosOurs) -> Values:
    """What a request costs whose user's ticket is at hand."""
    # As wrk sees it, whoever waits for a ticket for two seconds has no answer.
    _come(folder / "users.json", ours, ours.cookies)
    rounds.warm_up()
    rounds.load(MAIN_CASE, _ROUNDS, _SECONDS, [ours.plain.name, ours.name], lead_in=_LEAD_IN)
    calm = calm_cases(rounds, ours)
    for _ in range(_ROUNDS):
        for name, case in calm.items():
            rounds.load(case, 1, _SECONDS, [name], lead_in=_LEAD_IN)
    rows = load_rows(rounds.measured)
    wanted = [(ours.plain.name, MAIN_CASE), (ours.name, MAIN_CASE), *calm.items()]
    labels = [(name, case.label) for name, case in wanted]
    return cost([row for row in rows if (row["system"], row["case"]) in labels], rounds.measured)


def calm_cases(rounds: Rounds, ours: KerberosOurs) -> dict[str, Case]:
    """
    Loads by which both applications get as many requests a second: the pause of the faster one is longer by
    as much as its answers are faster.
    """
    trial = Case(MAIN_CASE.size, MAIN_CASE.connections, pause_ms=PAUSE_MS)
    names = [ours.plain.name, ours.name]
    rounds.load(trial, 1, _TRIAL_SECONDS, names, lead_in=_LEAD_IN)
    rates = [rounds.measured.samples.pop((name, trial.label))[-1].wrk.rate for name in names]
    cycles_ms = [1000.0 * trial.connections / rate for rate in rates]
    longest = max(cycles_ms)
    return {
        name: replace(trial, pause_ms=PAUSE_MS + round(longest - cycle))
        for name, cycle in zip(names, cycles_ms, strict=True)
    }


def cost(rows: Sequence[Values], measured: Measured) -> Values:
    """
    The difference, and whether it is allowed: at the same rate.

    @param rows: of L{load_rows}: with tickets and without, each with pauses and with none.
    """
    calm = {row["system"]: row for row in rows if row["pause_ms"]}
    added = calm[KerberosOurs.name]["cpu_us"] - calm["none"]["cpu_us"]
    foreign, spreads = ([row[key] for row in rows] for key in ("foreign_cpu", "cpu_spread"))
    return {
        "rows": list(rows),
        "added_us": added,
        "allowed_us": ALLOWED_MICROSECONDS,
        "reached": added <= ALLOWED_MICROSECONDS,
        "slowness": median(measured.paces) / min(measured.paces) if measured.paces else 1.0,
        "noise": noise(foreign, spreads, measured.paces),
    }


def _crowd(folder: Path, ours: KerberosOurs) -> Values:
    """Users without tickets, all at once, at a connector without any; others go on with their work."""
    tell(f"{len(ours.others)} users come at once")
    ours.restart_connector()
    targets = {
        "plain": Target(ours.port, ours.plain.host, _PATH, ours.plain.cookies[0]),
        "direct": Target(ours.application_port, ours.plain.host, _PATH, tls=False),
    }
    with ExitStack() as stops:
        working = {name: _paced(folder, name, target) for name, target in targets.items()}
        for process in working.values():
            stops.callback(process.stop)
        time.sleep(_BEFORE_SECONDS)
        burst = _come(folder / "crowd.json", ours, ours.others)
    found = {name: last_line(process.text) for name, process in working.items()}
    result = {**burst, "late_p99_ms": found["plain"]["late_p99_ms"]}
    for name, each in found.items():
        result |= around(name, each["each"], burst["begin"], burst["end"])
    return result


def _paced(folder: Path, name: str, target: Target) -> Process:
    """Who is at work all the time."""
    file = target.write(folder / f"{name}.json")
    options = (file, f"--rate={PLAIN_RATE}", f"--seconds={_LONGEST_SECONDS}", "--each")
    return Process(f"paced-{name}", (*module("bench.paced"), *options), folder, ENVIRONMENT)


def _come(file: Path, ours: KerberosOurs, cookies: Sequence[str]) -> Values:
    """Each asks once, all at the same time."""
    return call("bench.burst", write_people(file, Target(ours.port, ours.host, _PATH), cookies))


def around(name: str, each: Sequence[tuple[float, float]], begin: float, end: float) -> Values:
    """
    How long requests took that were due before something, and during it.

    @param name: what the results' names begin with.
    @param each: when it was due, and seconds that it took.
    """
    before = [latency for due, latency in each if due < begin]
    during = [latency for due, latency in each if begin <= due <= end]
    return {f"{name}_before": in_milliseconds(before), f"{name}_during": in_milliseconds(during)}


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{run} found, as two tables of a document."""
    noisy = [f"**Not a quiet run: {results['noise']}.**", ""] if results["noise"] else []
    return [*noisy, *_cost_lines(results), "", *_crowd_lines(results["crowd"])]


def _cost_lines(results: Mapping[str, Any]) -> list[str]:
    heads = [
        "sign-on",
        "load",
        "CPU us a request",
        "edge",
        "connector",
        "requests/s",
        "P50 ms",
        "P99 ms",
        "spread",
    ]
    rows = [
        [
            row["system"],
            "as many of both" if row["pause_ms"] else "all that it takes",
            f"{row['cpu_us']:.0f}",
            *(f"{row['cpu_us_by_role'][role]:.0f}" for role in ("edge", "connector")),
            f"{row['requests_per_second']:,.0f}",
            f"{row['p50_us'] / 1000:.1f}",
            f"{row['p99_us'] / 1000:.1f}",
            f"{row['cpu_spread']:.0%}",
        ]
        for row in results["rows"]
    ]
    verdict = "is within" if results["reached"] else "**exceeds**"
    added, slowness = results["added_us"], results["slowness"]
    return [
        *table(heads, rows),
        "",
        f"At the same rate Kerberos adds {added:.0f} us: that {verdict} the {results['allowed_us']:.0f} us"
        f" that are allowed. Meanwhile the processor was mostly {slowness:.2f} times as slow as at its best,"
        f" by which {added / slowness:.0f} us are left of it.",
    ]


def _crowd_lines(crowd: Mapping[str, Any]) -> list[str]:
    right, asked = crowd["count"], crowd["asked"]
    failed = {status: count for status, count in crowd["statuses"].items() if status != "200"}
    heads = ["", "answered", "P50 ms", "P99 ms", "the last, ms"]
    rows = [[f"{asked} first requests at once", f"{right} of {asked}", *_times(crowd)]]
    for name, text in (
        ("plain_before", "without sign-on, before"),
        ("plain_during", "... meanwhile"),
        ("direct_before", "the application itself, before"),
        ("direct_during", "... meanwhile"),
    ):
        found = crowd[name]
        rows.append([text, f"{found['count']}", *_times(found)])
    why = [f"Not answered rightly: {_listed(failed)}.", ""] if failed else []
    return [*why, *table(heads, rows)]


def _times(found: Mapping[str, Any]) -> list[str]:
    return [f"{found[key]:.1f}" if key in found else "" for key in ("p50_ms", "p99_ms", "max_ms")]


def _listed(failed: Mapping[str, int]) -> str:
    return ", ".join(f"{count} times {status}" for status, count in sorted(failed.items()))
