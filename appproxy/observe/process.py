"""
What the kernel says of this process: open files, their limit, memory.

C{prometheus_client} has a collector for that, which says nothing where only the process's own folder of
C{/proc} is there (C{ProcSubset=pid} of our units).
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

from appproxy.observe.metrics import Metrics

_OWN: Final = Path("/proc/self")
_RESIDENT: Final = 1
"""Which number of C{statm} tells the pages in memory (proc_pid_statm(5))."""


def watch_process(metrics: Metrics) -> None:
    """Read the gauges of the process from the kernel."""
    metrics.watch("open_descriptors", open_descriptors)
    metrics.watch("descriptor_limit", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    metrics.watch("memory_bytes", memory_bytes)


def open_descriptors() -> int:
    """How many are open, without the one that looks."""
    return len(os.listdir(_OWN / "fd")) - 1


def memory_bytes() -> int:
    """Bytes of memory in use."""
    pages = int((_OWN / "statm").read_bytes().split()[_RESIDENT])
    return pages * resource.getpagesize()
