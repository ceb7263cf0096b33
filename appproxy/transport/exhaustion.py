"""
Listeners of a process that may open no more files.

Twisted keeps one descriptor in reserve: with it, whoever comes is accepted and let go, and does not wait
in vain. It tells that of each of them, and it has no answer for the case that the reserve is gone too: the
event that somebody waits then comes again at once, for ever.
"""

from __future__ import annotations

import os
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

TELL_SECONDS: Final = 60.0
"""Between two lines about it: whoever causes it must not fill the log as well."""

WAIT_SECONDS: Final = 0.5
"""How long nobody is accepted when not even the reserve is left."""

NEEDED_NAMES: Final = ("_logger", "_reservedFD")
"""Names of Twisted's that are used here without being promised: of C{tcp.Port}, and of C{tcp} itself."""

_TURNED_AWAY: Final = "EMFILE recovery:"
_ALL_TURNED_AWAY: Final = "Re-reserving EMFILE"
_NO_RESERVE: Final = "Could not accept new connection"

_log: Final = Logger(__name__)


def watch_over(port: Any, clock: IReactorTime) -> None:
    """See to it that a listener in want of descriptors says so once, and runs in no circle."""
    if isinstance(port, tcp.Port):
        port._logger = Logger("twisted.internet.tcp", observer=_Watch(port, clock))


@implementer(ILogObserver)
class _Watch:
    """Is told what a port would log while it accepts."""

    def __init__(self, port: Any, clock: IReactorTime) -> None:
        self._port = port
        self._clock = clock
        self._turned_away = 0
        self._silent_until = 0.0

    def __call__(self, event: LogEvent) -> None:
        text = str(event.get("log_format", ""))
        if text.startswith(_TURNED_AWAY):
            self._turned_away += 1
        elif text.startswith(_ALL_TURNED_AWAY):
            self._tell("EMFILE")
        elif text.startswith(_NO_RESERVE):
            self._tell(str(event.get("acceptError")))
            self._wait()

    def _tell(self, reason: str) -> None:
        now = self._clock.seconds()
        if now < self._silent_until:
            return
        self._silent_until = now + TELL_SECONDS
        _log.warn(
            "{event}: no connection can be accepted ({reason}), and {turned_away} were let go: raise the "
            "limit of open files (LimitNOFILE), or look who has so many",
            event="no_descriptors",
            fault="operator",
            reason=reason,
            turned_away=self._turned_away,
        )
        self._turned_away = 0

    def _wait(self) -> None:
        self._port.stopReading()
        self._clock.callLater(WAIT_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            if _is_room():
                tcp._reservedFD.reserve()
            self._port.startReading()


def _is_room() -> bool:
    """Whether one can be opened: Twisted logs a traceback if it tries in vain."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
