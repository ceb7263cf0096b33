"""
Load of small answers: wrk, one thread, requests as browsers send them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.browser import CLOSE_EVERY, compose, write_requests
from bench.origin import SIZES
from bench.processes import BenchError, CpuMeter, CpuReading
from bench.system import Application, System

SCRIPT: Final = Path(__file__).with_name("browser.lua")
ALLOWED_FAILURES: Final = 0.001
"""Of all requests: more answers that are missing or wrong make the run worthless."""

_SLACK_SECONDS: Final = 30.0
_RESULT: Final = re.compile(r"^RESULT (\{.*\})$", re.MULTILINE)


@dataclass(frozen=True)
class Wrk:
    """
    What wrk tells.

    @ivar seconds: how long it ran.
    @ivar bytes: of the answers, heads included.
    @ivar p50: microseconds until an answer was there, the median; C{p90}, C{p99} likewise.
    @ivar failed: answers of another status, or none.
    """

    requests: int
    seconds: float
    bytes: int
    p50: float
    p90: float
    p99: float
    failed: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Case:
    """
    One kind of load.

    @ivar size: of the answers: C{1k} or C{64k}.
    @ivar connections: open at the same time.
    @ivar renewed: whether connections are renewed after ten requests.
    @ivar pause_ms: how long each connection rests after an answer: with it the load is not all that a
        system can bear, and two of them get about as many requests.
    """

    size: str
    connections: int
    renewed: bool = False
    pause_ms: int = 0

    @property
    def label(self) -> str:
        """Its name in files and tables."""
        renewed = "-renewed" if self.renewed else ""
        paused = f"-paused-{self.pause_ms}" if self.pause_ms else ""
        return f"{self.size}-{self.connections}{renewed}{paused}"


@dataclass(frozen=True)
class Sample:
    """One run of a case at one system."""

    wrk: Wrk
    cpu: CpuReading

    @property
    def microseconds(self) -> Mapping[str, float]:
        """CPU a request, by role."""
        return {role: seconds / self.wrk.requests * 1e6 for role, seconds in self.cpu.roles.items()}

    @property
    def total_microseconds(self) -> float:
        """CPU a request, of all roles."""
        return sum(self.microseconds.values())


def parse_wrk(output: str) -> Wrk:
    """
    Read what C{browser.lua} wrote at the end.

    @raise BenchError: if it did not.
    """
    found = _RESULT.search(output)
    if found is None:
        raise BenchError(f"wrk told no result:\n{output}")
    told: dict[str, int] = json.loads(found[1])
    failed = sum(told[kind] for kind in ("connect", "read", "write", "status", "timeout"))
    return Wrk(
        told["requests"],
        told["microseconds"] / 1e6,
        told["bytes"],
        told["p50"],
        told["p90"],
        told["p99"],
        failed,
    )


def check(wrk: Wrk, case: Case, asked_of_origin: int) -> None:
    """
    Make sure that the answers were the origin's.

    @param asked_of_origin: requests that reached it meanwhile.
    @raise BenchError: if nearly all of them were not.
    """
    enough = wrk.requests * (1 - ALLOWED_FAILURES)
    problem = ""
    if not wrk.requests:
        problem = "no answer at all"
    elif wrk.failed > wrk.requests * ALLOWED_FAILURES:
        problem = f"{wrk.failed} of {wrk.requests} answers were errors or did not come"
    elif asked_of_origin + case.connections < enough:
        # It may count a request only after the answer has left.
        problem = f"only {asked_of_origin} of {wrk.requests} answers can be the origin's"
    elif wrk.bytes < enough * SIZES[case.size]:
        problem = f"{wrk.bytes} bytes in {wrk.requests} answers: they are too small"
    if problem:
        raise BenchError(f"{case.label}: {problem}")


def measure(system: System, case: Case, origin: Application, folder: Path, seconds: int) -> Sample:
    """
    Put a system under load.

    @param folder: for files of requests, which serve again.
    @raise BenchError: if the answers were not right.
    """
    authority = f"{system.host}:{system.port}"
    file = _requests(folder, case, authority, system.cookies)
    meter = CpuMeter(system.pids(), origin.pids())
    return _sample(f"https://{authority}/", file, case, origin, seconds, meter)


def measure_directly(case: Case, origin: Application, folder: Path, seconds: int) -> Sample:
    """The same load put on the origin itself, without TLS: what there is to add to."""
    authority = f"origin.localhost:{origin.port}"
    file = _requests(folder, case, authority, ())
    meter = CpuMeter({"origin": origin.pids()})
    return _sample(f"http://{authority}/", file, case, origin, seconds, meter)


def _requests(folder: Path, case: Case, authority: str, cookies: Sequence[str]) -> Path:
    """The file of requests, the same in every run."""
    kind = f"{case.size}{'-renewed' if case.renewed else ''}"
    file = folder / f"requests-{authority.replace(':', '-')}-{kind}"
    if not file.exists():
        close_every = CLOSE_EVERY if case.renewed else 0
        write_requests(file, compose(case.size, authority, cookies, close_every=close_every))
    return file


def _sample(url: str, file: Path, case: Case, origin: Application, seconds: int, meter: CpuMeter) -> Sample:
    before = origin.requests()
    output = run_wrk(url, file, case.connections, seconds, case.pause_ms)
    reading = meter.read()
    wrk = parse_wrk(output)
    check(wrk, case, origin.requests() - before)
    return Sample(wrk, reading)


def run_wrk(url: str, requests: Path, connections: int, seconds: int, pause_ms: int = 0) -> str:
    """
    Run wrk to its end.

    @param requests: a file of L{write_requests}.
    @param pause_ms: of each connection, after an answer.
    @return: its output.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), url]
    command += ["--", str(requests), str(pause_ms)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + _SLACK_SECONDS, check=False
    )
    if done.returncode:
        raise BenchError(f"wrk ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout
