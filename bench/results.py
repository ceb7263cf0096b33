"""
C{bench/results.json}: the latest outcome of each measurement.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.processes import CORES
from bench.section import Section, Values

RESULTS: Final = Path(__file__).resolve().with_name("results.json")


def machine() -> Values:
    """What it ran on: cores, and versions of what the figures depend on."""
    return {
        "cores": CORES,
        "processor": _processor(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "nginx": _version("nginx", "-v"),
    }


def read(path: Path = RESULTS) -> Values:
    """What stands in the file, by section; nothing if there is no file."""
    try:
        kept: Values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return kept


def keep(sections: Sequence[Section], path: Path = RESULTS) -> Values:
    """
    Put sections into the file, in place of their predecessors.

    @return: all that stands there now.
    """
    kept = read(path)
    for section in sections:
        kept[section.name] = {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "title": section.title,
            "lines": list(section.lines),
            "values": dict(section.values),
        }
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    return kept


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout + done.stderr).strip().rpartition("/")[2]


def text_of(made: Any) -> list[str]:
    """The lines of one section as it stands in the file, under its heading."""
    return [f"### {made['title']}", "", *made["lines"], ""]
