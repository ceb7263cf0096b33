"""
Processes that a measurement starts and ends, and what the kernel knows of them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START_SECONDS: Final = 60.0
"""Until something answers: the machine may be busy."""

STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_SHOWN_CHARACTERS: Final = 4_000
"""Of a log, in an error: its end."""

_LAST: Final = ("nice", "-n", "19")

_TICKS: Final = os.sysconf("SC_CLK_TCK")
CORES: Final = os.cpu_count() or 1


class BenchError(Exception):
    """A measurement cannot be made, or would mean nothing: why."""


def answers(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Process:
    """
    A process with its output in a file.

    @ivar log: the file; errors stand in it too.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        elsewhere: bool = False,
    ) -> None:
        """
        Start it.

        @param folder: where it runs, and where its log goes; made if there is none.
        @param environment: besides that of this process.
        @param elsewhere: whether it stands for another machine: here it gets only what others leave.
        """
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*(_LAST if elsewhere else ()), *map(str, command)],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """It and all its children."""
        return with_children([self.pid])

    @property
    def exit_code(self) -> int | None:
        """How it ended, or L{None} while it runs."""
        return self._process.poll()

    @property
    def text(self) -> str:
        """All that it wrote so far."""
        return self.log.read_text("utf-8", "replace")

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """
        Wait for something that this process brings about.

        @raise BenchError: if it takes longer or the process ends first; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None:
                raise BenchError(f"{self.name} ended with {self.exit_code} before it {what}\n{self._end()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: within {seconds:g} s it never {what}\n{self._end()}")
            time.sleep(_POLL_SECONDS)

    def wait_for_port(self, port: int, seconds: float = START_SECONDS) -> None:
        """Wait until connections to this port of 127.0.0.1 are accepted."""
        self.wait_until(lambda: answers(port), f"listened on {port}", seconds)

    def wait_for_line(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """Wait until its output has this regular expression."""
        self.wait_until(lambda: re.search(pattern, self.text) is not None, f"wrote {pattern!r}", seconds)
        found = re.search(pattern, self.text)
        assert found is not None
        return found

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End it and its children, gently at first: by their ids, nobody else."""
        children = self.pids[1:]
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(seconds)
        for pid in children:
            _kill(pid, self.pid)

    def _end(self) -> str:
        return f"--- {self.log}\n{self.text[-_SHOWN_CHARACTERS:]}"


def _kill(pid: int, session: int) -> None:
    """End a child that outlived its parent, if the id is still that child's: by the session it is in."""
    try:
        if os.getsid(pid) == session:
            os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def run(
    command: Sequence[str | Path],
    *,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> str:
    """
    Run a command that must succeed.

    @return: its standard output.
    @raise BenchError: if it fails, with what it said.
    """
    done = subprocess.run(
        list(map(str, command)),
        input=stdin,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def with_children(pids: Iterable[int]) -> list[int]:
    """These processes and all their descendants that run now."""
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop(0)
        found.append(pid)
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting.extend(map(int, path.read_text().split()))
            except OSError:
                continue
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes so far, from C{/proc/PID/stat}; one that ended counts as none."""
    return sum(map(_ticks, pids)) / _TICKS


def _ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def peak_memory(pids: Iterable[int]) -> int:
    """The most bytes that processes ever had resident (C{VmHWM}), added up."""
    return sum(_status_bytes(pid, "VmHWM") for pid in pids)


def resident_memory(pids: Iterable[int]) -> int:
    """Bytes that processes have resident now (C{VmRSS}), added up."""
    return sum(_status_bytes(pid, "VmRSS") for pid in pids)


def _status_bytes(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def machine_busy_seconds() -> float:
    """What all cores of the machine worked since it started, whoever it was for."""
    user, nice, system, _idle, _wait, irq, soft_irq, steal, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + soft_irq + steal) / _TICKS


def own_seconds() -> float:
    """CPU time of this process and of those of its children that ended and were waited for."""
    return sum(os.times()[:4])


@dataclass(frozen=True)
class CpuReading:
    """
    What was worked between two points in time.

    @ivar elapsed: seconds of the clock.
    @ivar roles: CPU seconds of each role's processes.
    @ivar foreign: the part of the whole machine's capacity that went to others: 0 to 1.
    """

    elapsed: float
    roles: Mapping[str, float]
    foreign: float


def foreign_cpu(busy: float, own: float, elapsed: float) -> float:
    """
    @param busy: seconds that all cores worked.
    @param own: seconds of that which were for the measurement.
    @param elapsed: seconds of the clock.
    @return: the part of the machine's capacity that went to others.
    """
    return max(0.0, busy - own) / (elapsed * CORES) if elapsed else 0.0


class CpuMeter:
    """
    Measures who works from its making until L{read}.

    A load generator counts as ours if it is a child of this process that has ended before L{read}.
    """

    def __init__(self, roles: Mapping[str, Sequence[int]], others: Sequence[int] = ()) -> None:
        """
        @param roles: process ids of what is measured, as L{bench.system.System.pids} gives them.
        @param others: processes that belong to the measurement and are not reported: the origin.
        """
        self._roles = {role: list(pids) for role, pids in roles.items()}
        self._others = list(others)
        self._start = self._now()
        self._before = self._by_role()

    def read(self) -> CpuReading:
        """Who worked since this was made."""
        after = self._by_role()
        clock, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        roles = {role: after[role] - before for role, before in self._before.items()}
        return CpuReading(clock, roles, foreign_cpu(busy, own + sum(roles.values()), clock))

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), machine_busy_seconds(), own_seconds() + cpu_seconds(self._others)

    def _by_role(self) -> dict[str, float]:
        return {role: cpu_seconds(pids) for role, pids in self._roles.items()}
