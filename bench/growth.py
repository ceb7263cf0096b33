"""
Whether a request costs more where there is more: applications, connectors, sessions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from appproxy.cli.client import AdminClient
from appproxy.demo.ports import free_ports
from appproxy.pki.enrolment_client import enroll
from appproxy.pki.join_token import parse_token
from bench.figures import Figure, noise
from bench.load import Sample
from bench.origin import Origin
from bench.ours import CONNECTOR_GROUP, SESSIONS, Ours
from bench.processes import Process
from bench.rounds import Measured, running
from bench.rows import MAIN_CASE
from bench.section import Values, table
from bench.system import System

CONNECTORS: Final = 100
FEW_SESSIONS: Final = 10
MANY_SESSIONS: Final = 100_000
_ROUNDS: Final = 3
_SECONDS: Final = 3
_LEAD_IN: Final = 2
_ROOT: Final = Path(__file__).parents[1]


class Grown(Ours):
    """Ours under another name, so that several can be told apart."""

    def __init__(self, name: str, folder: Path, origin_port: int, **sizes: int) -> None:
        super().__init__(folder, origin_port, **sizes)
        self.name = name


class ManyConnectors(Grown):
    """An edge with a hundred connectors in one group, which take turns."""

    def _start_connector(self) -> None:
        client = AdminClient(self.admin)
        ports = free_ports(CONNECTORS)
        files = [self._enrol(client, number, port) for number, port in enumerate(ports)]
        process = Process(
            "connectors",
            (sys.executable, "-m", "bench.many_connectors", *files),
            self._folder / "connectors",
            {"PYTHONPATH": str(_ROOT)},
        )
        self._started["connector"] = process
        process.wait_until(lambda: self._tunnels(client) == CONNECTORS, f"had {CONNECTORS} tunnels")

    def _enrol(self, client: AdminClient, number: int, metrics_port: int) -> Path:
        request = {"role": "connector", "group": CONNECTOR_GROUP, "name": "", "valid_seconds": 600}
        token = parse_token(client.post("tokens", request)["token"])
        identity = self._folder / "connectors" / str(number) / "identity"
        identity.parent.mkdir(parents=True)
        enroll(token, identity, f"connector-{number}")
        log = identity.parent / "log"
        return self.write(f"connector-{number}", self.connector_settings(identity, metrics_port, log))

    @staticmethod
    def _tunnels(client: AdminClient) -> int:
        status: Mapping[str, Any] = client.get("status")
        return len(status["tunnels"])


def run(folder: Path) -> Values:
    """Measure it all: about four minutes."""
    origin = Origin(folder / "origin")
    systems = _systems(folder, origin.port)
    with running(folder, origin, systems) as rounds:
        rounds.warm_up()
        rounds.load(MAIN_CASE, _ROUNDS, _SECONDS, lead_in=_LEAD_IN)
        rounds.remember_memory()
    rows = [_row(name, runs, rounds.measured) for (name, _), runs in rounds.measured.samples.items()]
    return {"rows": rows, "noise": _noise(rows, rounds.measured)}


def lines(results: Mapping[str, Any]) -> list[str]:
    """What L{run} found, as a table of a document."""
    noisy = [f"**Not a quiet run: {results['noise']}.**", ""] if results["noise"] else []
    heads = [
        "",
        "CPU us a request",
        "edge",
        "connector",
        "requests/s",
        "P99 ms",
        "edge's memory, MB",
        "spread",
    ]
    rows = [
        [
            row["what"],
            f"{row['cpu_us']:.0f}",
            f"{row['edge_us']:.0f}",
            f"{row['connector_us']:.0f}",
            f"{row['requests_per_second']:,.0f}",
            f"{row['p99_us'] / 1000:.1f}",
            f"{row['edge_bytes'] / 1e6:.0f}",
            f"{row['cpu_spread']:.0%}",
        ]
        for row in results["rows"]
    ]
    return [*noisy, *table(heads, rows)]


def _systems(folder: Path, origin_port: int) -> list[System]:
    def grown(name: str, **sizes: int) -> System:
        return Grown(name, folder / _folder(name), origin_port, **sizes)

    def connected(name: str, **sizes: int) -> System:
        return ManyConnectors(name, folder / _folder(name), origin_port, **sizes)

    return [
        grown(f"1 application, 1 connector, {SESSIONS:,} sessions"),
        grown("100 applications", applications=100),
        grown("1,000 applications", applications=1_000),
        grown(f"{FEW_SESSIONS} sessions", sessions=FEW_SESSIONS),
        grown(f"{MANY_SESSIONS:,} sessions", sessions=MANY_SESSIONS),
        connected(f"{CONNECTORS} connectors"),
        connected(f"{CONNECTORS} connectors, {FEW_SESSIONS} sessions", sessions=FEW_SESSIONS),
    ]


def _folder(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def _row(name: str, runs: Sequence[Sample], measured: Measured) -> Values:
    costs = [run.microseconds for run in runs]
    cpu = Figure.of(run.total_microseconds for run in runs)
    return {
        "what": name,
        "cpu_us": cpu.median,
        "cpu_spread": cpu.spread,
        "edge_us": Figure.of(cost["edge"] for cost in costs).median,
        "connector_us": Figure.of(cost["connector"] for cost in costs).median,
        "requests_per_second": Figure.of(run.wrk.rate for run in runs).median,
        "p99_us": Figure.of(run.wrk.p99 for run in runs).median,
        "edge_bytes": measured.memory[name]["edge"],
        "foreign_cpu": Figure.of(run.cpu.foreign for run in runs).median,
    }


def _noise(rows: Sequence[Values], measured: Measured) -> str:
    foreign, spreads = ([row[key] for row in rows] for key in ("foreign_cpu", "cpu_spread"))
    return noise(foreign, spreads, measured.paces)
