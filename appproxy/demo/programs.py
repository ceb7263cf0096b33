"""
All programs of a run: started in order, watched together, stopped in the opposite order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from appproxy.demo.plan import Folder
from appproxy.demo.processes import COMMAND_SECONDS, Daemon, DemoFailed, run_command

START_SECONDS: Final = 60.0
"""For a daemon to be ready; a cold disk takes most of it."""

Address = tuple[str, int]


class Programs:
    """
    @ivar reactor: the global one, with processes and sockets.
    @ivar tell: receives progress, for people.
    """

    def __init__(self, reactor: Any, folder: Folder, tell: Callable[[str], None]) -> None:
        self.reactor = reactor
        self.tell = tell
        self._folder = folder
        self._daemons: list[Daemon] = []

    async def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        listens: Sequence[Address] = (),
    ) -> None:
        """
        Start a daemon, and wait until it is ready.

        @param environment: besides the demo's own.
        @param listens: where it will, if that shows that it is ready; else it says so (sd_notify(3)).
        @raise DemoFailed: if it ends before, or takes too long.
        """
        daemon = Daemon(self.reactor, name, self._folder.log(name), self._folder.sockets)
        self._daemons.append(daemon)
        daemon.start(command, environment or {}, listens)
        await daemon.wait_until_ready(START_SECONDS)

    async def run(self, command: Sequence[str], stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """As L{run_command}."""
        return await run_command(self.reactor, command, stdin, seconds)

    async def wait(self) -> None:
        """
        Until one ends by itself, which none should.

        @raise DemoFailed: with which it was.
        """
        first: Deferred[str] = Deferred()

        def ended(text: str, daemon: Daemon) -> None:
            if not first.called:
                first.callback(daemon.explain(text))

        for daemon in self._daemons:
            daemon.when_ended().addCallback(ended, daemon)
        raise DemoFailed(await first)

    async def stop(self) -> None:
        """Stop them all."""
        for daemon in reversed(self._daemons):
            await daemon.stop()
