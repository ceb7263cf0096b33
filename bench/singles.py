"""
Measurements that stand for themselves: a module of this folder each, with
C{run(folder)}, which measures and returns what C{json} can write, and
C{lines(results)}, which makes a table of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bench.processes import BenchError
from bench.rounds import tell
from bench.section import Section


@dataclass(frozen=True)
class Single:
    """
    How the report introduces one.

    @ivar text: how it was measured.
    """

    title: str
    text: str


SINGLES: Final[Mapping[str, Single]] = {
    "websockets": Single(
        "WebSocket messages",
        "64 connections, each with one message of 128 bytes under way to an echo and back; medians of three"
        " runs, taken in turns.",
    ),
    "line": Single(
        "Over a real line",
        "A line of 40 ms there and back and 50 Mbit/s between edge and connector: a download, and small "
        "requests beside it, with and without the tunnel's measures for fairness; plain TLS over the same "
        "line for comparison.",
    ),
    "fairness": Single(
        "Small requests beside downloads",
        "50 small requests a second, beside downloads of 1 GiB through the same tunnel, on one machine.",
    ),
    "memory": Single(
        "What idle and stalled connections cost",
        "Resident memory for each connection of a kind, and what somebody else gets before and beside them.",
    ),
    "budget": Single(
        "What each part of a request costs",
        "Microseconds of each part: the project's own functions, the least of several measurements of each "
        "alone in one process. Not in it: the transports (TLS, system calls), the reactor, and what holds "
        "the parts together.",
    ),
    "growth": Single(
        "Growth",
        "Each row changes one thing of the first: 1 KB, 64 connections, 5,000 different requests in a "
        "circle, all of them to one application. Of 100,000 sessions, 5,000 are at work. The 100 connectors"
        " share one process, serve one group and take turns, so that a tunnel's writes are shared by fewer "
        "requests, and each user has to be told to each of them once.",
    ),
    "kerberos": Single(
        "Kerberos sign-on",
        "One edge and one connector with two applications of the same Apache, which differ in sign-on "
        "alone: one asks nobody, the other (mod_auth_gssapi, its replay cache off) wants a ticket with "
        "each request and proves itself. 100 users are at work, their tickets at hand: 1 KB, 64 "
        "connections, medians of three runs in turns; first with all that each application takes, then with "
        "pauses between requests, so that both are asked as often: what a request costs depends on how many "
        "share the daemons' turns. Then 500 others make their first requests at once, "
        "at a connector that has just started, with the KDC 50 ms away. Beside them there are 100 requests a "
        "second without sign-on, and as many to the application itself, past the proxy: they show what the "
        "crowd costs by keeping this machine busy. The domain (Samba) and Apache stand for other machines: "
        "their CPU is not counted, and they get what daemons and clients leave of this one (nice 19).",
    ),
}

OF_ALL: Final = ("websockets", "fairness", "budget", "kerberos")
"""Those that C{make bench} has time for."""


def measure(names: Sequence[str], folder: Path) -> list[Section]:
    """Measure these, one after the other; one that cannot be measured here is left out, and said to be."""
    sections = []
    for name in names:
        tell(f"measuring {name}")
        try:
            sections.append(_measure(name, folder / name))
        except BenchError as error:
            tell(f"without {name}: {error}")
    return sections


def _measure(name: str, folder: Path) -> Section:
    folder.mkdir()
    module: Any = import_module(f"bench.{name}")
    results = module.run(folder)
    single = SINGLES[name]
    return Section(name, single.title, [single.text, "", *module.lines(results)], results)
