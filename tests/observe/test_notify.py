"""Tests of L{appproxy.observe.notify}."""

from __future__ import annotations

import os
import socket

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe.notify import BEATS_PER_LIMIT, Notifier, Watchdog


class NotifierTests(SynchronousTestCase):
    """What the service manager hears."""

    def setUp(self) -> None:
        self.path = f"/tmp/appproxy-notify-{os.getpid()}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(self.path)
        self.manager.settimeout(5)
        self.addCleanup(os.unlink, self.path)
        self.addCleanup(self.manager.close)

    def heard(self) -> list[str]:
        """The next notice, by lines."""
        return self.manager.recv(4096).decode().split("\n")

    def test_life(self) -> None:
        """Start, reload and stop are told in systemd's words."""
        notifier = Notifier({"NOTIFY_SOCKET": self.path}, monotonic=lambda: 1_234_567_890)
        notifier.ready("3 applications")
        self.assertEqual(self.heard(), ["READY=1", f"MAINPID={os.getpid()}", "STATUS=3 applications"])
        notifier.reloading()
        self.assertEqual(self.heard(), ["RELOADING=1", "MONOTONIC_USEC=1234567"])
        notifier.ready()
        self.assertEqual(self.heard(), ["READY=1", f"MAINPID={os.getpid()}"])
        notifier.stopping()
        self.assertEqual(self.heard(), ["STOPPING=1"])
        notifier.status("two\nlines READY=1")
        self.assertEqual(self.heard(), ["STATUS=two lines READY=1"])

    def test_abstract(self) -> None:
        """Linux's abstract sockets are reached."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"\0appproxy-notify-{os.getpid()}")
            manager.settimeout(5)
            Notifier({"NOTIFY_SOCKET": f"@appproxy-notify-{os.getpid()}"}).status("x")
            self.assertEqual(manager.recv(100), b"STATUS=x")

    def test_nobody_there(self) -> None:
        """Without a manager nothing happens; with one that is gone, a warning and nothing worse."""
        Notifier({}).ready()
        Notifier({"NOTIFY_SOCKET": self.path + ".gone"}).ready()


class Beats(Notifier):
    """Counts them."""

    count = 0

    def alive(self) -> None:
        """One more."""
        self.count += 1


class WatchdogTests(SynchronousTestCase):
    """L{Watchdog}."""

    def test_beats(self) -> None:
        """Several beats fall into the time that systemd waits, until it is stopped."""
        clock, beats = Clock(), Beats({})
        watchdog = Watchdog(beats, clock, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
        watchdog.start()
        clock.pump([watchdog.interval] * BEATS_PER_LIMIT)
        self.assertEqual((beats.count, clock.seconds()), (1 + BEATS_PER_LIMIT, 30.0))
        watchdog.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_nobody_waits(self) -> None:
        """Nothing beats without a limit, nor where the limit is another process's."""
        clock, beats = Clock(), Beats({})
        for environment in ({}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}):
            watchdog = Watchdog(beats, clock, environment)
            watchdog.start()
            watchdog.stop()
        self.assertEqual((beats.count, clock.getDelayedCalls()), (0, []))

    def test_said(self) -> None:
        """A beat is what systemd understands as one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"\0appproxy-watchdog-{os.getpid()}")
            manager.settimeout(5)
            Notifier({"NOTIFY_SOCKET": f"@appproxy-watchdog-{os.getpid()}"}).alive()
            self.assertEqual(manager.recv(100), b"WATCHDOG=1")
