"""
Runs the clients of this benchmark, each in a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.processes import Process, run
from bench.requests import Target

Result = dict[str, Any]

ENVIRONMENT: Final[Mapping[str, str]] = {"PYTHONPATH": str(Path(__file__).parents[1])}
"""Where modules of ours are found, whatever folder a process runs in."""

WARM_UP_SECONDS: Final = 3.0
"""Until a download has the speed that it keeps: windows grow, queues fill."""

_SLACK_SECONDS: Final = 120.0


def module(name: str) -> Sequence[str]:
    """The command that runs a module of ours."""
    return (sys.executable, "-m", name)


def call(name: str, *arguments: str | Path, seconds: float = _SLACK_SECONDS) -> Result:
    """
    Run a client to its end.

    @param seconds: after which it has failed.
    @return: the JSON object in the last line that it wrote.
    """
    output = run((*module(name), *arguments), environment=ENVIRONMENT, seconds=seconds)
    return last_line(output)


def download(folder: Path, target: Target, size: int) -> Result:
    """Download so many bytes; see L{bench.download}."""
    return call("bench.download", target.write(folder / "download.json"), f"--bytes={size}")


def paced(folder: Path, target: Target, rate: float, seconds: float) -> Result:
    """Small requests on a schedule; see L{bench.paced}."""
    path = target.write(folder / "paced.json")
    return call(
        "bench.paced", path, f"--rate={rate}", f"--seconds={seconds}", seconds=seconds + _SLACK_SECONDS
    )


@contextmanager
def downloading(folder: Path, target: Target) -> Iterator[Result]:
    """
    A download goes on inside.

    @return: an object that is filled with the download's result at the end.
    """
    result: Result = {}
    path = target.write(folder / "downloading.json")
    process = Process("downloading", (*module("bench.download"), path), folder, ENVIRONMENT)
    try:
        time.sleep(WARM_UP_SECONDS)
        yield result
    finally:
        process.stop()
    result.update(last_line(process.text))


def last_line(output: str) -> Result:
    """The JSON object in the last line."""
    found: Result = json.loads(output.strip().rpartition("\n")[2])
    return found
