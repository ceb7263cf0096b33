"""
The time by which daemons go: that of the epoch, but even.

The system's clock may be set, by an administrator, by the network's time at boot, or when a virtual machine
wakes up. Timers that went by it would all be due at once, or not for an hour; tunnels would be taken for
dead, and sessions for idle.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

FOLLOWED_PART: Final = 0.05
"""
Of the time that passes, by which a clock that was set is followed: a timer is out by as much at the most, and
an hour is made up for within a day.
"""


SLEPT_SECONDS: Final = 0.5
"""Between readings of two clocks passes less, unless the machine slept."""


def slept_seconds() -> float:
    """For how long the machine was asleep since boot, which no other clock but the system's counts."""
    return time.clock_gettime(_WITH_SLEEP) - time.monotonic()


_WITH_SLEEP: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """
    Seconds of the epoch, as the system had them when this was made.

    @ivar wall: the system's clock, which may be set.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        even: Callable[[], float] = time.monotonic,
        slept: Callable[[], float] = slept_seconds,
    ) -> None:
        """
        @param wall: the system's clock, which may be set.
        @param even: the one that cannot.
        @param slept: how long that one stood still so far, with the machine.
        """
        self.wall = wall
        self._even = even
        self._slept = slept
        self._slept_before = slept()
        self._base = wall() - even()

    def seconds(self) -> float:
        """Now."""
        return self._base + self._even()

    def follow(self, passed: float) -> float:
        """
        Go a step towards the system's clock; time in which the machine slept has passed at once.

        @param passed: seconds since the last step.
        @return: how far the system's clock was ahead.
        """
        slept = self._slept() - self._slept_before
        if slept > SLEPT_SECONDS:
            self._slept_before += slept
            self._base += slept
        ahead = self.wall() - self.seconds()
        most = passed * FOLLOWED_PART
        self._base += max(-most, min(most, ahead))
        return ahead


class Calendar:
    """
    The clock for what others read, too, whose clocks are right: tokens, tickets, certificates. Its
    seconds are the system's, however that was set; its calls are those of the reactor.
    """

    def __init__(self, reactor: Any) -> None:
        self.seconds: Callable[[], float] = reactor.steady.wall
        self.callLater = reactor.callLater
        self.getDelayedCalls = reactor.getDelayedCalls


def calendar_of(reactor: Any) -> Any:
    """The calendar that belongs to a reactor; itself, if its own clock is the system's, or a test's."""
    return Calendar(reactor) if hasattr(reactor, "steady") else reactor
