"""
Backends that are modules of these tests, run as processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from appproxy.demo.ports import free_port
from tests.integration.support.case import ROOT
from tests.integration.support.processes import Running


class ModuleBackend:
    """
    C{python -m MODULE PORT} as a process.

    @cvar module: its module among those here.
    @ivar process: it, for whoever watches and ends it.
    @ivar internal_url: where it listens.
    """

    module: str

    def __init__(self, folder: Path) -> None:
        """Start it and wait until it answers."""
        self.port = free_port()
        self.internal_url = f"http://127.0.0.1:{self.port}/"
        command = (sys.executable, "-m", f"{__package__}.{self.module}", str(self.port))
        self.process = Running(self.module, command, folder, {"PYTHONPATH": str(ROOT)})
        self.process.wait_for_port(self.port)
