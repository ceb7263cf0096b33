"""
What connections cost that do nothing: memory of edge and connector, and whether others notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from appproxy.demo.ports import free_ports
from bench.clients import ENVIRONMENT, Result, download, module, paced
from bench.crowd import READY, write_targets
from bench.files import raise_limit
from bench.ours import Ours
from bench.processes import Process, resident_memory
from bench.requests import Target
from bench.rounds import tell

MIB: Final = 1 << 20
CROWDS: Final[Mapping[str, tuple[str, int]]] = {
    "idle": ("/small", 1_000),
    "websocket": ("/small", 1_000),
    "stalled": ("/large", 500),
}
"""By kind: what each connection asks for, and how many there are."""

_LABELS: Final = {
    "idle": "1,000 signed-in connections, idle after one request",
    "websocket": "1,000 WebSockets, idle after one message",
    "stalled": "500 downloads of 1 GiB that nobody reads",
}

_FIRST: Final = 50
"""Connections that come and go before: what everybody's first one costs is not counted."""

_START_SECONDS: Final = 120.0
_SETTLE_SECONDS: Final = 2.0
_RATE: Final = 50.0
_SECONDS: Final = 5.0
_BYTES: Final = 256 * MIB


@contextmanager
def application(folder: Path) -> Iterator[int]:
    """
    The application of L{bench.echo}.

    @return: its port.
    """
    raise_limit()
    (port,) = free_ports(1)
    process = Process("echo", (*module("bench.echo"), str(port)), folder, ENVIRONMENT)
    try:
        process.wait_for_port(port)
        yield port
    finally:
        process.stop()


@contextmanager
def crowd(folder: Path, kind: str, targets: Sequence[Target]) -> Iterator[None]:
    """Connections of a kind, one for each target, are there inside."""
    path = write_targets(folder / "crowd.json", targets)
    process = Process(f"crowd-{kind}", (*module("bench.crowd"), kind, path), folder, ENVIRONMENT)
    try:
        process.wait_for_line(READY, _START_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        yield
    finally:
        process.stop()


def run(folder: Path) -> dict[str, Any]:
    """Measure each kind at an edge and a connector that are new."""
    results: dict[str, Any] = {}
    for kind, (path, count) in CROWDS.items():
        place = folder / kind
        with application(place) as port:
            ours = Ours(place / "ours", port)
            try:
                ours.start()
                results[kind] = _measure(place, ours, kind, path, count)
            finally:
                ours.stop()
    return results


def _measure(folder: Path, ours: Ours, kind: str, path: str, count: int) -> Result:
    tell(f"memory: {count} connections, {kind}")
    targets = [
        Target(ours.port, ours.host, path, ours.cookies[number % len(ours.cookies)])
        for number in range(count)
    ]
    with crowd(folder, kind, targets[:_FIRST]):
        pass
    time.sleep(_SETTLE_SECONDS)
    alone = _activity(folder, ours)
    before = _memory(ours)
    with crowd(folder, kind, targets):
        grown = {role: now - before[role] for role, now in _memory(ours).items()}
        beside = _activity(folder, ours)
    bytes_each = {role: size / count for role, size in grown.items()}
    return {"count": count, "bytes_each": bytes_each, "alone": alone, "beside": beside}


def _memory(ours: Ours) -> dict[str, int]:
    return {role: resident_memory(pids) for role, pids in ours.pids().items()}


def _activity(folder: Path, ours: Ours) -> Result:
    """What somebody who is active gets."""
    small = Target(ours.port, ours.host, "/small", ours.cookies[0])
    large = Target(ours.port, ours.host, "/large", ours.cookies[0])
    return {
        **paced(folder, small, _RATE, _SECONDS),
        "mb_per_second": download(folder, large, _BYTES)["mb_per_second"],
    }


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{run} found, as a table of a document."""
    return [
        "| | edge, each | connector, each | others: P99 before, beside | download before, beside |",
        "|---|---|---|---|---|",
        *(_row(_LABELS[kind], found) for kind, found in results.items()),
    ]


def _row(label: str, found: Mapping[str, Any]) -> str:
    each = (f"{found['bytes_each'][role] / 1024:.1f} KiB" for role in ("edge", "connector"))
    p99 = ", ".join(f"{found[when]['p99_ms']:.1f}" for when in ("alone", "beside"))
    rate = ", ".join(f"{found[when]['mb_per_second']:.0f}" for when in ("alone", "beside"))
    return f"| {label} | {' | '.join(each)} | {p99} ms | {rate} MB/s |"
