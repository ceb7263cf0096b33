"""
One large download: a client fetches 1 GiB.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.browser import compose
from bench.origin import GIB
from bench.processes import BenchError, CpuMeter, CpuReading
from bench.system import Application, System

_SECONDS: Final = 120.0
_TOLD: Final = '{"status": %{http_code}, "bytes": %{size_download}, "seconds": %{time_total}}'


@dataclass(frozen=True)
class Bulk:
    """
    One download.

    @ivar seconds: from the first byte sent to the last one received.
    """

    bytes: int
    seconds: float
    cpu: CpuReading

    @property
    def rate(self) -> float:
        """MB (a million bytes) a second."""
        return self.bytes / self.seconds / 1e6

    @property
    def cpu_per_gib(self) -> Mapping[str, float]:
        """CPU seconds for each GiB, by role."""
        return {role: seconds * GIB / self.bytes for role, seconds in self.cpu.roles.items()}

    @property
    def total_cpu_per_gib(self) -> float:
        """The same of all roles."""
        return sum(self.cpu_per_gib.values())


def download(system: System, origin: Application) -> Bulk:
    """
    Fetch 1 GiB through a system, with curl.

    @raise BenchError: if not all of it came.
    """
    authority = f"{system.host}:{system.port}"
    head, *fields = compose("1g", authority, system.cookies, count=1)[0].strip().split("\r\n")
    command = ["curl", "--silent", "--show-error", "--insecure", "--http1.1", "--output", "/dev/null"]
    command += ["--resolve", f"{authority}:127.0.0.1", "--write-out", _TOLD]
    for field in fields:
        command += ["--header", field]
    command.append(f"https://{authority}{head.split()[1]}")
    meter = CpuMeter(system.pids(), origin.pids())
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    reading = meter.read()
    if done.returncode:
        raise BenchError(f"bulk through {system.name}: curl ended with {done.returncode}: {done.stderr}")
    told = json.loads(done.stdout)
    if told["status"] != 200 or told["bytes"] != GIB:
        raise BenchError(f"bulk through {system.name}: not 1 GiB of a 200: {told}")
    return Bulk(told["bytes"], told["seconds"], reading)
