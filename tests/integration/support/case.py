"""
The base of integration tests.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.integration.support.processes import Running
from tests.prepare import find_command

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[3]
WORK: Final = ROOT / ".test"
"""What may be kept between runs: installed npm packages."""


class IntegrationTestCase(SynchronousTestCase):
    """
    Starts processes, ends them after the test, and shows their logs if it failed.

    @ivar folder: this test's own.
    @cvar transport: what daemons get for C{tls.transport}; empty leaves it to them.
    """

    timeout = 300
    transport = ""

    def setUp(self) -> None:
        """Make the folder."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def run(self, result: Any = None) -> Any:
        """Run the test; afterwards its processes' last words, if they matter."""
        self._started: list[Running] = []
        before = _failures(result)
        try:
            return super().run(result)
        finally:
            if _failures(result) > before:
                for process in self._started:
                    print(process.last_words, file=sys.stderr, flush=True)

    def watch(self, process: Running) -> Running:
        """Show this process's log if the test fails; it is ended elsewhere."""
        self._started.append(process)
        return process

    def start(self, process: Running) -> Running:
        """Take care of a process that was just started."""
        self.addCleanup(process.stop)
        return self.watch(process)

    def need(self, *commands: str) -> None:
        """Skip the test, and say why, where a command is missing."""
        missing = [command for command in commands if find_command(command) is None]
        if missing:
            raise SkipTest(f"not installed: {', '.join(missing)}")


def _failures(result: Any) -> int:
    return len(getattr(result, "failures", ())) + len(getattr(result, "errors", ()))


def shared(make: Callable[[], tuple[T, Callable[[], object]]]) -> Callable[[], T]:
    """
    Something expensive that several tests use: made at first use, ended with the whole run.

    @param make: makes it; returns it and what ends it.
    """
    made: list[T] = []

    def get() -> T:
        if not made:
            thing, end = make()
            atexit.register(end)
            made.append(thing)
        return made[0]

    return get
