"""
The daemons and commands that the demo starts, and their end.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import DatagramProtocol, Factory, ProcessProtocol, Protocol
from twisted.python.failure import Failure

Reactor = Any
"""Provides C{IReactorProcess}, C{IReactorTime}, C{IReactorTCP} and C{IReactorUNIXDatagram}."""

STOP_SECONDS: Final = 8.0
"""More than the demo's drain timeout; who is not gone then is killed."""

COMMAND_SECONDS: Final = 60.0
"""For C{appproxy} commands, on a slow machine."""

MAXIMUM_OUTPUT: Final = 1 << 20
"""Of a command; the rest is dropped."""

LOOK_SECONDS: Final = 0.1
"""Between two looks whether a program listens."""

_TAIL_LINES: Final = 25


class DemoFailed(Exception):
    """The demo cannot go on; the text is for the person in front of it."""


def program(name: str) -> str:
    """
    The full path of a program of this installation.

    @raise DemoFailed: if there is none.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise DemoFailed(f"the command {name} is not installed beside {sys.executable}")
    return found


def _command_line(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "appproxy.demo.child", str(os.getpid()), *command]


class Readiness(DatagramProtocol):
    """
    The far end of C{NOTIFY_SOCKET} (sd_notify(3)).

    @param ready: called at C{READY=1}.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if b"READY=1" in datagram.split(b"\n"):
            self._ready()


class Daemon(ProcessProtocol):
    """
    One daemon: started, waited for, watched, stopped.

    @ivar name: for messages.
    @ivar log: its output.
    """

    transport: IProcessTransport

    def __init__(self, reactor: Reactor, name: str, log: Path, sockets: Path) -> None:
        self.name = name
        self.log = log
        self._reactor = reactor
        self._notify_path = sockets / f"{name}.notify"
        self._started: Deferred[str] = Deferred()
        self._end = ""
        self._waiting: list[Deferred[str]] = []
        self._next_look: IDelayedCall | None = None

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        listens: Sequence[tuple[str, int]] = (),
    ) -> None:
        """
        Run it, with its output in the log.

        @param listens: hosts and ports, if that it accepts connections there shows that it is ready.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._port = self._reactor.listenUNIXDatagram(
            str(self._notify_path), Readiness(lambda: self._settle(""))
        )
        whole = {**os.environ, **(environment or {}), "NOTIFY_SOCKET": str(self._notify_path)}
        with open(os.devnull, "rb") as nothing, self.log.open("ab") as log:
            self._reactor.spawnProcess(
                self,
                sys.executable,
                _command_line(command),
                whole,
                childFDs={0: nothing.fileno(), 1: log.fileno(), 2: log.fileno()},
            )
        if listens:
            self._look(list(listens))

    def when_ended(self) -> Deferred[str]:
        """Fires when it is gone, with what is to be said of that."""
        ended: Deferred[str] = Deferred()
        if self._end:
            ended.callback(self._end)
        else:
            self._waiting.append(ended)
        return ended

    async def wait_until_ready(self, seconds: float) -> None:
        """
        Until it says that it is.

        @raise DemoFailed: if it ends before, or takes longer.
        """
        late = self._reactor.callLater(seconds, self._settle, f"was not ready after {seconds:.0f} seconds")
        try:
            problem = await self._started
        finally:
            if late.active():
                late.cancel()
        if problem:
            raise DemoFailed(self.explain(problem))

    def explain(self, problem: str) -> str:
        """The problem, with the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(
            [f"{self.name} {problem}. The end of {self.log}:", *(f"    {line}" for line in lines)]
        )

    async def stop(self) -> None:
        """End it: politely, then not."""
        if self._end:
            return
        self._signal("TERM")
        late = self._reactor.callLater(STOP_SECONDS, self._signal, "KILL")
        await self.when_ended()
        if late.active():
            late.cancel()

    def processEnded(self, reason: Failure) -> None:
        self._port.stopListening()
        self._notify_path.unlink(missing_ok=True)
        self._end = f"has ended{_how(reason)}"
        self._settle(self._end)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(self._end)

    def _look(self, places: list[tuple[str, int]]) -> None:
        """Whether it listens at the first of them, and then at the others."""
        if self._started.called:
            return
        if not places:
            self._settle("")
            return
        host, port = places[0]

        def connected(protocol: Protocol) -> None:
            assert protocol.transport is not None
            protocol.transport.loseConnection()
            self._look(places[1:])

        def refused(_failure: Failure) -> None:
            if self._started.called:
                return
            self._next_look = self._reactor.callLater(LOOK_SECONDS, self._look, places)

        endpoint = TCP4ClientEndpoint(self._reactor, host, port, timeout=STOP_SECONDS)
        endpoint.connect(Factory.forProtocol(Protocol)).addCallbacks(connected, refused)

    def _settle(self, problem: str) -> None:
        if self._next_look is not None and self._next_look.active():
            self._next_look.cancel()
        if not self._started.called:
            self._started.callback(problem)

    def _signal(self, name: Literal["TERM", "KILL"]) -> None:
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass


def _how(reason: Failure) -> str:
    value = reason.value
    if not isinstance(value, ProcessTerminated):
        return ""
    return f" by signal {value.signal}" if value.signal else f" with exit code {value.exitCode}"


@dataclass(frozen=True)
class Output:
    """
    What a command said.

    @ivar failure: how it failed, empty if it did not.
    """

    failure: str
    out: str
    err: str


class _Command(ProcessProtocol):
    transport: IProcessTransport

    def __init__(self, stdin: bytes, done: Deferred[Output]) -> None:
        self._stdin = stdin
        self._done = done
        self._received = {1: bytearray(), 2: bytearray()}

    def connectionMade(self) -> None:
        if self._stdin:
            self.transport.write(self._stdin)
        self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        received = self._received[childFD]
        received += data[: MAXIMUM_OUTPUT - len(received)]

    def processEnded(self, reason: Failure) -> None:
        out, err = (self._received[each].decode("utf-8", "replace") for each in (1, 2))
        self._done.callback(Output(_how(reason), out, err))


async def run_command(
    reactor: Reactor, command: Sequence[str], stdin: str = "", seconds: float = COMMAND_SECONDS
) -> str:
    """
    Run a command to its end.

    @param seconds: after which it is killed.
    @return: what it printed.
    @raise DemoFailed: if it failed, with what it said.
    """
    done: Deferred[Output] = Deferred()
    protocol = _Command(stdin.encode(), done)
    process = reactor.spawnProcess(protocol, sys.executable, _command_line(command), dict(os.environ))
    late = reactor.callLater(seconds, process.signalProcess, "KILL")
    try:
        output = await done
    finally:
        if late.active():
            late.cancel()
        if process.pid is not None:
            process.signalProcess("KILL")
    if output.failure:
        shown = " ".join([Path(command[0]).name, *command[1:]])
        raise DemoFailed(f"{shown}\nhas ended{output.failure}:\n{(output.err or output.out).strip()}")
    return output.out
