"""
Runs of several systems in turns, so that whatever else the machine does meets them all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.browser import REQUESTS
from bench.bulk import Bulk, download
from bench.load import Case, Sample, measure, measure_directly
from bench.pace import pace
from bench.processes import BenchError, peak_memory
from bench.system import Application, System

DIRECT: Final = "origin alone"
"""How tables call the load on the origin itself, without anything before it."""

_WARM_UP: Final = Case("1k", 64)
_WARM_UP_SECONDS: Final = 2
_LONGEST_WARM_UP_SECONDS: Final = 16


@dataclass
class Measured:
    """
    All runs so far, by the system's name; of loads by the case's label too.

    @ivar memory: the most bytes ever resident, by system and role.
    @ivar missing: why a system was not measured.
    @ivar paces: how fast the processor was before each run (L{bench.pace}).
    """

    cases: dict[str, Case] = field(default_factory=dict)
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    bulk: dict[str, list[Bulk]] = field(default_factory=dict)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    paces: list[float] = field(default_factory=list)


class Rounds:
    """
    @ivar measured: what came out so far.
    """

    def __init__(self, folder: Path, origin: Application, systems: Sequence[System]) -> None:
        self._folder = folder
        self._origin = origin
        self._systems = systems
        self.measured = Measured()

    def warm_up(self) -> None:
        """
        Send each system every request once, for nothing: what is measured is a service that runs.

        @raise BenchError: if the first system, which is ours, cannot do that. Others are left out.
        """
        warm: list[System] = []
        for system in self._systems:
            tell(f"warming up {system.name}")
            try:
                self._warm_up(system)
            except BenchError as error:
                if not warm:
                    raise
                tell(f"left out: {error}")
            else:
                warm.append(system)
        self._systems = warm

    def _warm_up(self, system: System) -> None:
        seconds, sent = _WARM_UP_SECONDS, 0
        while sent < REQUESTS and seconds <= _LONGEST_WARM_UP_SECONDS:
            sent = self._measure(system, _WARM_UP, seconds).wrk.requests
            seconds *= 2

    def load(
        self,
        case: Case,
        rounds: int,
        seconds: int,
        names: Sequence[str] = (),
        *,
        lead_in: int = 0,
        direct: bool = False,
    ) -> None:
        """
        Measure a case.

        @param names: of the systems; all of them unless some are named.
        @param lead_in: seconds of the same load just before, for nothing: after a pause an edge has
            something to tell the store of each session.
        @param direct: whether the origin itself has its turn too.
        """
        self.measured.cases[case.label] = case
        for number in range(rounds):
            for system in self._chosen(names):
                if lead_in:
                    self._measure(system, case, lead_in)
                sample = self._measure(system, case, seconds)
                self._keep(system.name, case, sample, f"{number + 1}/{rounds}")
            if direct:
                sample = measure_directly(case, self._origin, self._folder, seconds)
                self._keep(DIRECT, case, sample, f"{number + 1}/{rounds}")

    def bulk(self, rounds: int, names: Sequence[str] = ()) -> None:
        """Measure the download of 1 GiB."""
        for number in range(rounds):
            for system in self._chosen(names):
                bulk = download(system, self._origin)
                self.measured.bulk.setdefault(system.name, []).append(bulk)
                costs = _by_role(bulk.cpu_per_gib, "{:.2f}")
                tell(
                    f"bulk {number + 1}/{rounds}  {system.name:15} {bulk.rate:7.0f} MB/s"
                    f"  {bulk.total_cpu_per_gib:6.2f} s/GiB ({costs})"
                )

    def remember_memory(self) -> None:
        """Note the most memory that each process ever had."""
        for system in self._systems:
            peaks = {role: peak_memory(pids) for role, pids in system.pids().items()}
            self.measured.memory[system.name] = peaks

    def _measure(self, system: System, case: Case, seconds: int) -> Sample:
        self.measured.paces.append(pace())
        return measure(system, case, self._origin, self._folder, seconds)

    def _chosen(self, names: Sequence[str]) -> list[System]:
        return [system for system in self._systems if not names or system.name in names]

    def _keep(self, name: str, case: Case, sample: Sample, turn: str) -> None:
        self.measured.samples.setdefault((name, case.label), []).append(sample)
        wrk = sample.wrk
        tell(
            f"{case.label} {turn}  {name:15} {wrk.rate:7.0f}/s  P50 {wrk.p50 / 1000:.2f} ms"
            f"  P99 {wrk.p99 / 1000:.2f} ms  {sample.total_microseconds:6.1f} us"
            f" ({_by_role(sample.microseconds, '{:.1f}')})"
        )


def _by_role(costs: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{role} {form.format(cost)}" for role, cost in costs.items())


_STARTED: Final = time.monotonic()


def tell(message: str) -> None:
    """Progress, beside the results."""
    print(f"[{time.monotonic() - _STARTED:5.1f} s] {message}", file=sys.stderr, flush=True)


@contextmanager
def running(
    folder: Path, origin: Application, needed: Sequence[System], welcome: Sequence[System] = ()
) -> Iterator[Rounds]:
    """
    Start everything; in the end, stop it, whatever happened.

    @param folder: for files of the load generator.
    @param welcome: systems that are left out where they do not start.
    @raise BenchError: if one that is needed does not start.
    """
    with ExitStack() as stops:
        stops.callback(origin.stop)
        origin.start()
        started: list[System] = []
        missing: dict[str, str] = {}
        for system in (*needed, *welcome):
            tell(f"starting {system.name}")
            stops.callback(system.stop)
            try:
                system.start()
            except BenchError as error:
                if system in needed:
                    raise
                missing[system.name] = str(error).partition("\n")[0]
                tell(f"without {system.name}: {error}")
            else:
                started.append(system)
        rounds = Rounds(folder, origin, started)
        rounds.measured.missing = missing
        yield rounds
