"""The command, run against an edge's real admin socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from appproxy.admin.service import AdminService, Reactor
from appproxy.cli.main import main
from appproxy.store.sqlite import SqliteStore
from appproxy.transport.addresses import ListenAddress
from tests.admin.support import Edge, short_folder
from tests.catalog.examples import APPLICATIONS


def run(*arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> Result:
    """The command's exit code, stdout and stderr; without a terminal."""
    settings: dict[str, str | None] = {"APPPROXY_SERVER": None, **(environment or {})}
    return CliRunner().invoke(main, arguments, input=stdin, env=settings)


class CommandTestCase(TestCase):
    """An edge that listens, over a store in a file, and a file to publish."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start it."""
        self.folder = short_folder(self.addCleanup)
        self.server = f"unix:{self.folder}/admin.sock"
        store = await SqliteStore.open(self.folder / "store.sqlite3", reactor)
        self.addCleanup(store.close)
        self.edge = await Edge.start(store, reactor, self.folder)
        self.addCleanup(self.edge.stop)
        running: Reactor = reactor  # type: ignore[assignment]
        service = AdminService(running, ListenAddress.parse(self.server), "", self.edge.around)
        service.startService()
        self.addCleanup(service.stopService)
        self.file = self.write("apps.toml", APPLICATIONS)

    def write(self, name: str, text: str) -> str:
        """Make a file; its path."""
        path = Path(self.folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    async def ask(self, *arguments: str, code: int = 0, stdin: str = "") -> Result:
        """Run the command for this edge; it ends with this exit code."""
        result = await deferToThread(run, "--server", self.server, *arguments, stdin=stdin)
        self.assertEqual(result.exit_code, code, (result.output, result.exception))
        return result

    async def ask_json(self, *arguments: str) -> Any:
        """Run the command with JSON output; what it says."""
        return json.loads((await self.ask(*arguments, "--output", "json")).stdout)
