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

from twisted.logger import Logger


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
