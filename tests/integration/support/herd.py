"""
Many connectors, and an edge that they lose all at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.connectors_made import make_connectors
from bench.files import raise_limit
from tests.integration.support.attacker import Wire
from tests.integration.support.case import ROOT, IntegrationTestCase
from tests.integration.support.installation import Installation
from tests.integration.support.marked_backend import MarkedBackend
from tests.integration.support.processes import Running, wait_until
from tests.integration.support.toml import toml_text

PER_PROCESS: Final = 250
LONGEST_SECONDS: Final = 300.0
ASK_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 0.2
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Return:
    """
    How a herd came back; times in seconds from the moment at which the edge listened again.

    @ivar first: until a request was served.
    @ivar all: until every connector had its tunnel.
    @ivar half: the same of half of them.
    @ivar processor: seconds that the edge used until then, its start included.
    @ivar memory: the most resident bytes that the edge had.
    @ivar asked: requests between the first that was served and the end.
    @ivar failed: how many of those were not served.
    @ivar slowest: what the slowest of them took.
    """

    first: float = 0.0
    half: float = 0.0
    all: float = 0.0
    processor: float = 0.0
    memory: int = 0
    asked: int = 0
    failed: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        return (
            f"first request served after {self.first:.2f} s, half of the tunnels {self.half:.2f} s, "
            f"all {self.all:.2f} s; edge: {self.processor:.2f} s of a processor, "
            f"{self.memory / (1 << 20):.0f} MiB; meanwhile {self.asked} requests, {self.failed} failed, "
            f"slowest {self.slowest * 1000:.0f} ms"
        )


class Herd:
    """An edge and so many connectors of one group, several in a process."""

    def __init__(self, case: IntegrationTestCase, count: int) -> None:
        """Enrol and start them, and wait until all serve."""
        raise_limit()
        self.count = count
        self.backend = MarkedBackend(case.folder / "backend")
        case.start(self.backend.process)
        settings = {"log": {"level": "info", "access": False}}
        self.site = site = Installation(case, settings=settings)
        state = site.folder / "edge"
        state.mkdir(mode=0o700)
        connect = f"connect.{site.domain}"
        folder = case.folder / "herd"
        identities = make_connectors(state, folder, count, "hq", f"{connect}:{site.port}", connect)
        self.edge = site.start_edge()
        application = {"internal_url": self.backend.internal_url, "pre_authentication": "passthrough"}
        site.publish({"work": application})
        files = [self._write(identity) for identity in identities]
        for start in range(0, count, PER_PROCESS):
            some: list[str | Path] = [*files[start : start + PER_PROCESS]]
            command = [sys.executable, "-m", "bench.many_connectors", *some]
            environment = {"PYTHONPATH": str(ROOT)}
            case.start(Running(f"herd-{start}", command, folder, environment))
        wait_until(lambda: self.tunnels() == count, f"{count} tunnels", LONGEST_SECONDS)

    def _write(self, identity: Path) -> Path:
        written = {
            "identity": identity,
            "allowed_backends": [f"127.0.0.1:{self.backend.port}"],
            "metrics": {"listen": "127.0.0.1:0"},
            "log": {"file": identity.parent / "log", "level": "warn", "access": False},
        }
        path = identity.parent / "connector.toml"
        path.write_text(toml_text(written))
        return path

    def tunnels(self) -> int:
        """How many connectors have one."""
        try:
            # Much less work for the edge than its status with a row for each.
            return int(self.site.numbers("edge").get('appproxy_tunnels{connector_group="hq"}', 0))
        except OSError:
            return 0

    def come_back(self) -> Return:
        """Kill the edge, start it again, and see how all find it."""
        self.edge.signal(signal.SIGKILL)
        self.edge.wait_for_end()
        came = Return()
        self.edge = self.site.start_edge()
        began = time.monotonic()
        asking, stopping = self._ask(came, began)
        while (there := self.tunnels()) < self.count:
            passed = time.monotonic() - began
            assert passed < LONGEST_SECONDS, f"{there} of {self.count} are back after {passed:.0f} s"
            if there >= self.count // 2 and not came.half:
                came.half = passed
            stopping.wait(LOOK_SECONDS)
        came.all = time.monotonic() - began
        came.half = came.half or came.all
        stopping.set()
        asking.join()
        fields = Path(f"/proc/{self.edge.pid}/stat").read_text().rpartition(")")[2].split()
        came.processor = (int(fields[11]) + int(fields[12])) / _TICKS
        came.memory = self.edge.peak_memory
        return came

    def _ask(self, came: Return, began: float) -> tuple[threading.Thread, threading.Event]:
        stopping = threading.Event()

        def ask() -> None:
            while not stopping.wait(ASK_SECONDS) or not came.first:
                started = time.monotonic()
                is_served = self.is_served()
                now = time.monotonic()
                if not came.first:
                    came.first = now - began if is_served else 0.0
                    continue
                came.asked += 1
                came.failed += not is_served
                came.slowest = max(came.slowest, now - started)

        thread = threading.Thread(target=ask, daemon=True, name="asking")
        thread.start()
        return thread, stopping

    def is_served(self) -> bool:
        """Whether somebody who comes now gets an answer of the application."""
        host = f"work.{self.site.domain}"
        try:
            with Wire(self.site.port, self.site.authority.ca_file, host) as wire:
                return wire.ask(f"{host}:{self.site.port}", "/x", headers=[(b"X-Mark", b"m")]).status == 200
        except (OSError, AssertionError):
            return False
