"""
Memory that is free is given back to the system after many connections have ended.

Python and OpenSSL return to the C library what they need no more, but of what lies scattered glibc keeps all:
ten thousand connections that came and went would be seen in the process's size for ever.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

LOOK_SECONDS: Final = 10.0
"""Between two looks: nothing waits for it, and the look for free memory costs some milliseconds."""

WORTH_IT: Final = 1000
"""Connections that ended since: of fewer, some 25 KiB each, nobody sees anything."""


def trim_function() -> Callable[[], object]:
    """glibc's C{malloc_trim}; where there is none, one that does nothing."""
    found: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: found(0)) if found is not None else (lambda: None)


class GivingBack:
    """Looks whether many connections have ended."""

    def __init__(
        self, clock: IReactorTime, connections: Callable[[], int], trim: Callable[[], object] | None = None
    ) -> None:
        """
        @param connections: how many there are now.
        @param trim: gives back what is free.
        """
        self._connections = connections
        self._trim = trim if trim is not None else trim_function()
        self._most = 0
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def start(self) -> None:
        """Look from now on."""
        self._looking.start(LOOK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        now = self._connections()
        self._most = max(self._most, now)
        if self._most - now >= WORTH_IT:
            self._most = now
            self._trim()
