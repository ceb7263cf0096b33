"""
Tell systemd how we are (C{sd_notify(3)}, protocol of C{Type=notify} and C{notify-reload}).

A dozen lines instead of a dependency: a datagram to a socket that the
environment names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

BEATS_PER_LIMIT: Final = 3
"""Beats in the time after which systemd gives a silent process up: one may come late, one get lost."""


class Notifier:
    """
    Sends states to the service manager; does nothing where there is none.
    """

    _log = Logger()

    def __init__(
        self, environment: Mapping[str, str] = os.environ, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """
        @param monotonic: CLOCK_MONOTONIC in nanoseconds, which systemd compares with its own.
        """
        path = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL of Linux's abstract names.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._monotonic = monotonic

    def ready(self, status: str = "") -> None:
        """Everything that was asked for can be used, after a start or a reload."""
        self._send("READY=1", f"MAINPID={os.getpid()}", *self._status(status))

    def reloading(self) -> None:
        """The configuration is being read again; L{ready} ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic() // 1000}")

    def stopping(self, status: str = "") -> None:
        """No new work is taken; what is under way is finished."""
        self._send("STOPPING=1", *self._status(status))

    def status(self, text: str) -> None:
        """A line for C{systemctl status}."""
        self._send(*self._status(text))

    def alive(self) -> None:
        """The reactor turns: what C{WatchdogSec=} waits for."""
        self._send("WATCHDOG=1")

    def _status(self, text: str) -> list[str]:
        return [f"STATUS={' '.join(text.split())}"] if text else []

    def _send(self, *assignments: str) -> None:
        if not self._address or not assignments:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            self._log.warn(
                "{event}: the service manager cannot be told: {reason}",
                event="notify_failed",
                fault="operator",
                reason=error.strerror or str(error),
            )


class Watchdog:
    """
    Tells systemd again and again that the reactor turns (C{WatchdogSec=}, sd_watchdog_enabled(3)).

    @ivar interval: seconds between two beats; 0 if nobody waits for them.
    """

    def __init__(
        self, notifier: Notifier, clock: IReactorTime, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.interval = _limit(environment) / BEATS_PER_LIMIT
        self._beating = LoopingCall(notifier.alive)
        self._beating.clock = clock

    def start(self) -> None:
        """Beat from now on."""
        if self.interval:
            self._beating.start(self.interval)

    def stop(self) -> None:
        """Beat no more."""
        if self._beating.running:
            self._beating.stop()


def _limit(environment: Mapping[str, str]) -> float:
    """How many seconds this process may be silent; 0 for ever."""
    limit = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not limit.isdecimal():
        return 0
    return int(limit) / 1_000_000
