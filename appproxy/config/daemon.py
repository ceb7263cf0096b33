"""
What the three daemons share: options, how they start, and how they say why not.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from appproxy.config.common import LogSettings
from appproxy.model.problems import Problem
from appproxy.observe.access_log import LineWriter
from appproxy.observe.logging import STANDARD_OUTPUT, make_observer
from appproxy.observe.metrics import Metrics
from appproxy.observe.metrics_service import MetricsService
from appproxy.observe.notify import Notifier, Watchdog
from appproxy.observe.process import watch_process
from appproxy.transport.addresses import ListenAddress
from appproxy.transport.listener import listen_plain
from appproxy.transport.slim_reactor import install as install_slim_reactor

COLLECT_AFTER: Final = (20_000, 20, 20)
"""
Objects more than there were, after which Python looks for cycles, and how often it then looks further: a
thousand requests under way hold about 10,000, a megabyte or two.
"""

FOLLOW_SECONDS: Final = 10.0
"""Between two looks at the system's clock."""

JUMP_SECONDS: Final = 1.0
"""A clock that is further away was set; what the network's time corrects day by day is less."""

EXIT_CRASHED: Final = 1
EXIT_UNAVAILABLE: Final = 69
"""An address or the store cannot be had (C{EX_UNAVAILABLE})."""
EXIT_NOT_ENROLLED: Final = 77
"""Not enrolled, or revoked (C{EX_NOPERM}): starting again does not help."""
EXIT_CONFIGURATION: Final = 78
"""C{EX_CONFIG}: starting again does not help."""


class CannotStart(Exception):
    """
    Why a daemon stops instead of starting.

    @ivar code: the exit code.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class DaemonOptions(usage.Options):
    """
    Options of one daemon under twistd.

    Reading them loads the configuration, chooses reactor, log and pid file; every
    problem of the file is printed and ends the process.

    @cvar daemon: C{edge}, C{relay} or C{connector}.
    @cvar load: reads the configuration file.
    @ivar settings: what L{load} returned.
    @ivar writer: of the log's lines, the access log's too, so that they keep their order.
    """

    daemon: ClassVar[str]
    optFlags: ClassVar[list[list[str | None]]] = [["check", None, "Check the configuration and exit."]]
    settings: Any
    writer: LineWriter

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["config"] = f"/etc/appproxy/{self.daemon}.toml"

    def opt_config(self, path: str) -> None:
        """The configuration file."""
        self["config"] = path

    def load(self, path: Path) -> Any | list[Problem]:
        """Read the file."""
        raise TypeError("a daemon's options know its configuration")

    def state_directory(self) -> Path:
        """Where the pid file goes."""
        raise TypeError("a daemon's options know its state directory")

    def postOptions(self) -> None:
        """Load the configuration; say everything that is wrong with it."""
        path = Path(self["config"])
        loaded = self.load(path)
        if isinstance(loaded, list):
            for problem in loaded:
                print(problem, file=sys.stderr)
            raise SystemExit(EXIT_CONFIGURATION)
        if self["check"]:
            print(f"{path}: no problems found")
            raise SystemExit(0)
        self.settings = loaded
        file = loaded.log.file
        if file is not None:
            _check_writable(path, file)
        self.writer = LineWriter(STANDARD_OUTPUT if file is None else str(file))
        # Every connection to a provider would leave two lines that tell an operator nothing.
        Factory.noisy = False
        if "twisted.internet.reactor" not in sys.modules:
            install_slim_reactor()
        self._prepare_twistd()

    def _prepare_twistd(self) -> None:
        """Log as configured; a pid file of our own, since two daemons may start in one folder."""
        parent = self.parent
        if parent is None:
            return
        if parent.get("pidfile") == "twistd.pid":
            parent["pidfile"] = "" if parent.get("nodaemon") else str(self.state_directory() / "twistd.pid")

    def observer(self) -> ILogObserver:
        """Writes events as C{[log]} says."""
        settings: LogSettings = self.settings.log
        terminal = settings.file is None and sys.stdout.isatty()
        return make_observer(
            self.writer,
            self.daemon,
            level=settings.level,
            format=settings.format_on(terminal=terminal),
        )


def _check_writable(path: Path, file: Path) -> None:
    """A daemon whose log goes nowhere should not run."""
    try:
        with file.open("ab"):
            return
    except OSError as error:
        problem = Problem(str(path), None, "log.file", f"{file} cannot be written: {error.strerror}")
        print(problem, file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from error


class DaemonService(Service):
    """
    A daemon that starts and stops with coroutines.

    Failing to start logs why, stops the reactor and sets the exit code.
    """

    _log = Logger()

    def __init__(self, reactor: Any, options: DaemonOptions) -> None:
        self.reactor = reactor
        self.daemon = options.daemon
        self._options = options
        self.notifier = Notifier()
        self._watchdog = Watchdog(self.notifier, reactor)
        self._observer = options.observer()
        self._starting: Deferred[None] | None = None
        self._metrics: MetricsService | None = None
        self._following: IDelayedCall | None = None
        self._clock_is_off = False

    async def start(self) -> None:
        """Start everything; raises L{CannotStart} with the reason why not."""

    async def stop(self) -> None:
        """Stop everything that L{start} started, in good order."""

    def reload(self) -> None:
        """SIGHUP: read certificates and the reloadable settings again."""

    async def start_metrics(self, listen: str, metrics: Metrics, ready: Callable[[], bool]) -> None:
        """
        Serve C{/metrics} and what asks for readiness.

        @raise CannotStart: if the address cannot be had.
        """
        address = ListenAddress.parse(listen)
        writer = self._options.writer
        metrics.count_from("log_lines_dropped", lambda: {(): writer.dropped})
        watch_process(metrics)
        self._metrics = MetricsService(
            self.reactor, lambda build: listen_plain(self.reactor, address, build), metrics, ready
        )
        try:
            await self._metrics.start()
        except (CannotListenError, OSError) as error:
            raise CannotStart(EXIT_UNAVAILABLE, f"metrics: {error}") from error

    async def stop_metrics(self) -> None:
        """The reverse of L{start_metrics}, if it came to that."""
        if self._metrics is not None:
            await self._metrics.stopService()

    def setServiceParent(self, parent: Any) -> None:
        """Give the application our log, which twistd uses unless told otherwise (C{--logger})."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        Service.setServiceParent(self, parent)

    def startService(self) -> None:
        """Begin to start."""
        Service.startService(self)
        self._watchdog.start()
        self._starting = Deferred.fromCoroutine(self.start())
        self._starting.addCallbacks(_relax_collector, self._failed)
        if hasattr(self.reactor, "steady"):
            self._follow_later()
        # Once it runs, since the reactor installs handlers of its own at its start.
        self.reactor.callWhenRunning(install_signals, self.reactor, self.reload_and_tell)

    def reload_and_tell(self) -> None:
        """L{reload}; the service manager hears of it, unless it waits for a start or a stop."""
        runs = self.running and self._starting is not None and bool(self._starting.called)
        if runs:
            self.notifier.reloading()
        try:
            self.reload()
        finally:
            if runs:
                self.notifier.ready()

    def stopService(self) -> Deferred[None]:
        """Stop, however far the start came."""
        Service.stopService(self)
        self.notifier.stopping()
        if self._following is not None:
            self._following.cancel()
            self._following = None
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.stop()
        self._watchdog.stop()
        self._log.info("{event}", event="stopped", daemon=self.daemon)
        self._options.writer.flush()

    def _follow_later(self) -> None:
        # No LoopingCall: it keeps to its times, and after a step back the time just reached comes again. Step
        # by step the clock, and every timer with it, would stand still.
        self._following = self.reactor.callLater(FOLLOW_SECONDS, self._follow_clock)

    def _follow_clock(self) -> None:
        ahead = self.reactor.steady.follow(FOLLOW_SECONDS)
        is_off = abs(ahead) > JUMP_SECONDS
        if is_off and not self._clock_is_off:
            self._log.warn(
                "{event}: the system's clock was set {direction} by {seconds} s; timers and sessions go on "
                "evenly, and follow it slowly. Restart this daemon for the new time at once",
                event="clock_jumped",
                fault="operator",
                daemon=self.daemon,
                direction="forward" if ahead > 0 else "back",
                seconds=round(abs(ahead)),
            )
        self._clock_is_off = is_off
        self._follow_later()

    def give_up(self, code: int, event: str, why: str) -> None:
        """Stop in good order and end with this exit code: going on does not help."""
        self._log.error("{event}: {why}", event=event, why=why, fault="operator", daemon=self.daemon)
        exit_with(self.reactor, code, self._options.writer)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        error = failure.value
        if isinstance(error, CannotStart):
            self.give_up(error.code, "cannot_start", str(error))
            return
        self._log.failure("{event}", failure, event="cannot_start", fault="ours", daemon=self.daemon)
        exit_with(self.reactor, EXIT_CRASHED, self._options.writer)


def _relax_collector(_: None) -> None:
    """
    Look for reference cycles seldom: requests leave none, and each look at what they hold
    while they last was a twentieth of the time that they cost.
    """
    gc.set_threshold(*COLLECT_AFTER)
    gc.freeze()


def exit_with(reactor: Any, code: int, writer: LineWriter) -> None:
    """Stop the reactor in good order, write the log to its end, then end the process with this code."""

    def end() -> None:
        writer.stop()
        # twistd itself knows no exit codes but 0 and 1, and has its pid file to remove before.
        atexit.register(_exit, code)

    reactor.addSystemEventTrigger("after", "shutdown", end)
    reactor.callLater(0, reactor.stop)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def install_signals(reactor: Any, reload: Callable[[], None]) -> None:
    """
    SIGHUP reloads; SIGTERM and SIGINT stop in good order and end with exit code 0,
    where the reactor's own handlers make twistd end itself by the signal.
    """

    def stop(*_: object) -> None:
        reactor.callFromThread(reactor.stop)

    try:
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
    except ValueError:
        # Not the main thread: somebody runs the service inside of something larger.
        return
