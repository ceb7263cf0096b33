"""
How much of a machine daemons take, and whether they are at work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.request import urlopen

from tests.integration.support.installation import Installation
from tests.integration.support.processes import Running

BUSY: Final = (
    "appproxy_requests_active",
    "appproxy_upgraded_connections",
    "appproxy_tunnel_streams",
    'state="busy"',
)
"""Parts of the names of numbers that are 0 while nobody asks for anything."""


@dataclass(frozen=True)
class Margins:
    """
    What a look may be above another one.

    @ivar memory: in bytes.
    """

    memory: int
    descriptors: int
    timers: int


@dataclass(frozen=True)
class Look:
    """
    One daemon at some moment.

    @ivar memory: resident bytes.
    """

    memory: int
    descriptors: int
    timers: int

    def __str__(self) -> str:
        return f"{self.memory / (1 << 20):.1f} MiB, {self.descriptors} descriptors, {self.timers} timers"

    def grown_since(self, other: Look, margins: Margins) -> list[str]:
        """What is more than it was, beyond the margins."""
        pairs = (
            ("memory", self.memory - other.memory, margins.memory),
            ("descriptors", self.descriptors - other.descriptors, margins.descriptors),
            ("timers", self.timers - other.timers, margins.timers),
        )
        return [f"{name} +{more}" for name, more, most in pairs if more > most]


def look_at(site: Installation, name: str, process: Running) -> Look:
    """One of an installation's daemons, now."""
    timers = site.numbers(name)["appproxy_reactor_timers"]
    return Look(process.memory, len(os.listdir(f"/proc/{process.pid}/fd")), int(timers))


def at_work(site: Installation, names: Iterable[str], backend_url: str) -> str:
    """
    What daemons and the marked backend are busy with.

    @return: empty if they are at rest.
    """
    found = [
        f"{name}: {key} {value:g}"
        for name in names
        for key, value in site.numbers(name).items()
        if value and any(part in key for part in BUSY)
    ]
    with urlopen(f"{backend_url}active", timeout=10) as answer:
        active = answer.read().decode()
    return ", ".join(found + ([] if active == "0" else [f"backend: {active}"]))
