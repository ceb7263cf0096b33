"""
WebSocket messages a second: 64 connections with one message of 128 bytes under way each, to an echo and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.clients import call
from bench.crowd import write_targets
from bench.figures import Figure
from bench.memory import application
from bench.ours import Ours
from bench.peers.nginx import Nginx
from bench.processes import CpuMeter
from bench.requests import Target
from bench.rounds import tell
from bench.system import System

CONNECTIONS: Final = 64
SIZE: Final = 128
SECONDS: Final = 5.0
ROUNDS: Final = 3


def run(folder: Path) -> dict[str, Any]:
    """Ours and the bare double hop, in turns."""
    with application(folder) as port:
        systems: list[System] = [Ours(folder / "ours", port), Nginx(folder / "nginx", port)]
        found: dict[str, list[dict[str, Any]]] = {system.name: [] for system in systems}
        try:
            for system in systems:
                system.start()
            for _ in range(ROUNDS):
                for system in systems:
                    found[system.name].append(_measure(folder, system))
        finally:
            for system in systems:
                system.stop()
    return {name: _summary(runs) for name, runs in found.items()}


def _measure(folder: Path, system: System) -> dict[str, Any]:
    cookies = system.cookies or [""]
    targets = [
        Target(system.port, system.host, "/websocket", cookies[number % len(cookies)])
        for number in range(CONNECTIONS)
    ]
    path = write_targets(folder / "targets.json", targets)
    meter = CpuMeter(system.pids())
    result = call("bench.chatter", path, f"--size={SIZE}", f"--seconds={SECONDS}")
    cpu = meter.read()
    costs = {role: seconds / result["count"] * 1e6 for role, seconds in cpu.roles.items()}
    rate = result["count"] / result["seconds"]
    tell(f"websockets: {system.name}: {rate:.0f} messages/s, {sum(costs.values()):.1f} us")
    return {**result, "messages_per_second": rate, "cpu_us_by_role": costs}


def _summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians."""

    def median(key: str) -> float:
        return Figure.of(run[key] for run in runs).median

    roles = runs[0]["cpu_us_by_role"]
    costs = {role: Figure.of(run["cpu_us_by_role"][role] for run in runs).median for role in roles}
    names = ("messages_per_second", "p50_ms", "p99_ms")
    return {name: median(name) for name in names} | {"runs": len(runs), "cpu_us_by_role": costs}


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{run} found, as a table of a document."""
    return [
        "| | messages/s, there and back | P50, P99 | CPU a message |",
        "|---|---|---|---|",
        *(_row(name, found) for name, found in results.items()),
    ]


def _row(name: str, found: Mapping[str, Any]) -> str:
    costs = found["cpu_us_by_role"]
    parts = ", ".join(f"{role} {cost:.1f}" for role, cost in costs.items())
    return (
        f"| {name} | {found['messages_per_second']:,.0f} | {found['p50_ms']:.1f}, {found['p99_ms']:.1f} ms "
        f"| {sum(costs.values()):.1f} us ({parts}) |"
    )
