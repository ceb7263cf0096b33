"""L{appproxy.config.daemon}."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application import service as application_service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from appproxy.config import daemon
from appproxy.config.daemon import (
    EXIT_CONFIGURATION,
    EXIT_UNAVAILABLE,
    FOLLOW_SECONDS,
    CannotStart,
    DaemonService,
    exit_with,
    install_signals,
)
from appproxy.connector.tap import Options
from appproxy.observe.notify import Notifier
from appproxy.transport.steady import SteadyClock
from tests.config.support import RecordingWriter

GOOD = 'allowed_backends = ["wiki:8080"]\n'


class OptionsTests(SynchronousTestCase):
    """L{DaemonOptions<appproxy.config.daemon.DaemonOptions>}, as the connector's."""

    def setUp(self) -> None:
        """What is printed is kept."""
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.file = self.folder / "connector.toml"

    def options(self, text: str | None, *arguments: str) -> Options:
        """Read a configuration."""
        if text is not None:
            self.file.write_text(text)
        made = Options()
        made.parseOptions(["--config", str(self.file), *arguments])
        return made

    def code(self, text: str | None, *arguments: str) -> object:
        """The exit code that reading it ends with."""
        return self.assertRaises(SystemExit, self.options, text, *arguments).code

    def test_good(self) -> None:
        """A good file is read, and nothing is printed."""
        made = self.options(GOOD)
        self.assertEqual(made.settings.allowed_backends, ("wiki:8080",))
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ("", ""))

    def test_default_path(self) -> None:
        """Each daemon has its own default."""
        self.assertEqual(Options()["config"], "/etc/appproxy/connector.toml")

    def test_all_problems(self) -> None:
        """Every problem is printed, with file and line, then 78."""
        self.assertEqual(self.code('alowed_backends = 1\n[limits]\nstreams = "many"\n'), EXIT_CONFIGURATION)
        lines = self.err.getvalue().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(all(line.startswith(f"{self.file}:") for line in lines))
        self.assertIn("allowed_backends", self.err.getvalue())
        self.assertIn(":3: limits.streams", self.err.getvalue())

    def test_no_file(self) -> None:
        """A file that is not there, or is no TOML: 78."""
        self.assertEqual(self.code(None), EXIT_CONFIGURATION)
        self.assertIn("cannot be read", self.err.getvalue())
        self.assertEqual(self.code("= = ="), EXIT_CONFIGURATION)

    def test_check(self) -> None:
        """C{--check} says that all is well, or what is not, and starts nothing."""
        self.assertEqual(self.code(GOOD, "--check"), 0)
        self.assertEqual(self.out.getvalue(), f"{self.file}: no problems found\n")
        self.assertEqual(self.code("x = 1\n", "--check"), EXIT_CONFIGURATION)

    def test_log_file(self) -> None:
        """A log that cannot be written is a problem of the configuration; one that can is left as it is."""
        log = f'[log]\nfile = "{self.folder}/missing/log"\n'
        self.assertEqual(self.code(GOOD + log), EXIT_CONFIGURATION)
        self.assertIn("log.file", self.err.getvalue())
        kept = self.folder / "log"
        kept.write_text("before\n")
        self.options(GOOD + f'[log]\nfile = "{kept}"\n')
        self.assertEqual(kept.read_text(), "before\n")

    def prepared(self, **parent: Any) -> Any:
        """twistd's own options, after ours were read."""
        self.file.write_text(GOOD + f'identity = "{self.folder}/state/identity"\n')
        made = Options()
        made.parent = parent  # type: ignore[assignment]
        made.parseOptions(["--config", str(self.file)])
        return made.parent

    def test_pid_file(self) -> None:
        """Two daemons in one folder do not meet: each has a pid file of its own, none in the foreground."""
        self.assertEqual(
            self.prepared(pidfile="twistd.pid", nodaemon=0)["pidfile"], f"{self.folder}/state/twistd.pid"
        )
        self.assertEqual(self.prepared(pidfile="twistd.pid", nodaemon=1)["pidfile"], "")
        self.assertEqual(self.prepared(pidfile="/run/x.pid", nodaemon=0)["pidfile"], "/run/x.pid")


class Reactor(Clock):
    """A clock that remembers what is to happen at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Any] = []
        self.stopped = 0
        self.from_thread: list[Any] = []
        self.steady = SteadyClock(self.seconds, self.seconds)

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        """Note it."""
        self.triggers.append((phase, event, call))

    def callWhenRunning(self, call: Any, *arguments: Any) -> None:
        """Never: signals are the test runner's."""

    def callFromThread(self, call: Any) -> None:
        """Note it."""
        self.from_thread.append(call)

    def stop(self) -> None:
        """Note it."""
        self.stopped += 1


class Service(DaemonService):
    """One that does what a test says."""

    failure: Exception | None = None
    waits: Deferred[None] | None = None

    def __init__(self, reactor: Any) -> None:
        options = Options()
        options.writer = RecordingWriter()  # type: ignore[assignment]
        options.observer = lambda: lambda event: None  # type: ignore
        super().__init__(reactor, options)
        self.calls: list[str] = []

    async def start(self) -> None:
        """Fail, wait, or be done."""
        if self.failure is not None:
            raise self.failure
        if self.waits is not None:
            await self.waits
        self.calls.append("started")

    async def stop(self) -> None:
        """Note it."""
        self.calls.append("stopped")


class SteadyReactor(Reactor):
    """
    One whose timers go by its steady clock, as those of the real one.

    @ivar ahead: of the system's clock, in seconds.
    """

    def __init__(self) -> None:
        Reactor.__init__(self)
        self.ahead = 0.0
        self.steady = SteadyClock(lambda: self.rightNow + self.ahead, lambda: self.rightNow, lambda: 0.0)

    def seconds(self) -> float:
        """By the steady clock, once there is one."""
        steady = getattr(self, "steady", None)
        return self.rightNow if steady is None else steady.seconds()


class ServiceTests(SynchronousTestCase):
    """L{DaemonService}."""

    def setUp(self) -> None:
        """A service whose end is noted."""
        self.codes: list[int] = []
        self.patch(daemon, "exit_with", lambda _reactor, code, _writer: self.codes.append(code))
        self.reactor = Reactor()
        self.service = Service(self.reactor)

    def test_life(self) -> None:
        """It starts and stops."""
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual((self.service.calls, self.codes), (["started", "stopped"], []))

    def test_clock(self) -> None:
        """That the system's clock was set is said once for each time."""
        wall = [1000.0]
        self.reactor.steady = SteadyClock(
            lambda: wall[0] + self.reactor.seconds(), self.reactor.seconds, lambda: 0.0
        )
        told: list[LogEvent] = []
        observer: Any = told.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.service.startService()

        def jumps() -> list[tuple[str, int]]:
            return [
                (each["direction"], each["seconds"]) for each in told if each.get("event") == "clock_jumped"
            ]

        self.reactor.pump([FOLLOW_SECONDS] * 3)
        self.assertEqual(jumps(), [])
        wall[0] -= 3
        self.reactor.pump([FOLLOW_SECONDS] * 20)
        self.assertEqual(jumps(), [("back", 3)])
        wall[0] += 3600
        self.reactor.pump([FOLLOW_SECONDS] * 20)
        self.assertEqual(jumps(), [("back", 3), ("forward", 3600)])
        self.successResultOf(self.service.stopService())

    def test_clock_goes_on(self) -> None:
        """Timers end when they should, nearly, also while the system's clock is far behind or ahead."""
        for jump in (-3600.0, 3600.0):
            reactor = SteadyReactor()
            service = Service(reactor)
            service.startService()
            reactor.ahead = jump
            ended: list[float] = []
            reactor.callLater(100.0, lambda ended=ended, reactor=reactor: ended.append(reactor.rightNow))
            reactor.pump([0.1] * 1200)
            (when,) = ended
            self.assertTrue(94 < when < 107, when)
            self.successResultOf(service.stopService())

    def test_cannot_start(self) -> None:
        """Why it cannot start is said, and is the exit code."""
        self.service.failure = CannotStart(EXIT_UNAVAILABLE, "the port is taken")
        self.service.startService()
        self.assertEqual(self.codes, [EXIT_UNAVAILABLE])

    def test_crash(self) -> None:
        """A mistake of ours: 1, and a traceback."""
        self.service.failure = ZeroDivisionError()
        self.service.startService()
        self.assertEqual(self.codes, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stopped_while_starting(self) -> None:
        """Whoever stops it while it starts gets it stopped, and no failure."""
        self.service.waits = Deferred()
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual((self.service.calls, self.codes), (["stopped"], []))

    def test_reload(self) -> None:
        """systemd hears of a reload and of its end, even of one that fails; not while it starts or stops."""
        told: list[str] = []
        for name in ("reloading", "ready", "stopping"):
            self.patch(self.service.notifier, name, lambda name=name: told.append(name))
        waits: Deferred[None] = Deferred()
        self.service.waits = waits
        self.service.startService()
        self.service.reload_and_tell()
        self.assertEqual(told, [])
        waits.callback(None)
        self.service.reload_and_tell()
        self.assertEqual(told, ["reloading", "ready"])

        def broken() -> None:
            raise ZeroDivisionError

        self.patch(self.service, "reload", broken)
        self.assertRaises(ZeroDivisionError, self.service.reload_and_tell)
        self.assertEqual(told, ["reloading", "ready"] * 2)
        self.successResultOf(self.service.stopService())
        self.assertRaises(ZeroDivisionError, self.service.reload_and_tell)
        self.assertEqual(told, ["reloading", "ready", "reloading", "ready", "stopping"])

    def test_watchdog(self) -> None:
        """It tells systemd that it is alive from its start to its end, and no longer."""
        os.environ["WATCHDOG_USEC"] = "30000000"
        self.addCleanup(os.environ.pop, "WATCHDOG_USEC")
        told: list[str] = []
        self.patch(Notifier, "alive", lambda _: told.append("alive"))
        service = Service(self.reactor)
        service.startService()
        self.reactor.pump([10.0] * 3)
        self.assertEqual(len(told), 4)
        self.successResultOf(service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_give_up(self) -> None:
        """A daemon that runs may have to end as well."""
        self.service.startService()
        self.service.give_up(77, "revoked", "not trusted any more")
        self.assertEqual(self.codes, [77])

    def test_log(self) -> None:
        """twistd is given our log, unless somebody else is the parent."""
        application: Any = application_service.Application("x")
        self.service.setServiceParent(application)
        self.assertIsNotNone(application.getComponent(ILogObserver))
        other = Service(self.reactor)
        other.setServiceParent(application_service.MultiService())


class ExitTests(SynchronousTestCase):
    """L{exit_with} and L{install_signals}."""

    def test_exit(self) -> None:
        """All stops in good order, then the log is written, then the process ends with the code."""
        reactor, writer = Reactor(), RecordingWriter()
        at_exit: list[tuple[Any, ...]] = []
        ended: list[int] = []
        self.patch(atexit, "register", lambda *call: at_exit.append(call))
        self.patch(os, "_exit", ended.append)
        exit_with(reactor, 69, writer)  # type: ignore[arg-type]
        reactor.advance(0)
        self.assertEqual(reactor.stopped, 1)
        ((phase, event, call),) = reactor.triggers
        self.assertEqual((phase, event, writer.calls), ("after", "shutdown", []))
        call()
        self.assertEqual((writer.calls, ended), (["stop"], []))
        ((end, code),) = at_exit
        end(code)
        self.assertEqual(ended, [69])

    def test_signals(self) -> None:
        """SIGHUP reloads, SIGTERM and SIGINT stop; each in the reactor's own time."""
        reactor = Reactor()
        installed: dict[int, Any] = {}
        self.patch(signal, "signal", installed.__setitem__)

        def reload() -> None:
            """Nothing."""

        install_signals(reactor, reload)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            installed[number](number, None)
        self.assertEqual(reactor.from_thread, [reload, reactor.stop, reactor.stop])

    def test_other_thread(self) -> None:
        """Inside of something larger signals are not ours."""

        def refuse(*_: object) -> None:
            raise ValueError("signal only works in main thread")

        self.patch(signal, "signal", refuse)
        install_signals(Reactor(), lambda: None)
