"""
Deadlines by the thousand: one reactor timer for all of them.

Starting, moving and cancelling one costs a fraction of C{callLater}; in
return it fires up to one tick late (never early).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log: Final = Logger(__name__)


class Timer:
    """One deadline of a L{TimerWheel}."""

    __slots__ = ("_bucket", "_callback", "_due", "_wheel")

    def __init__(self, wheel: TimerWheel, callback: Callable[[], object], due: int) -> None:
        self._wheel = wheel
        self._callback = callback
        self._due = self._bucket = due

    @property
    def active(self) -> bool:
        """Whether it can still fire."""
        return self._bucket >= 0

    def cancel(self) -> None:
        """Never fire. Doing it twice, or after it fired, is no mistake."""
        if self._bucket >= 0:
            self._wheel._remove(self)

    def reset(self, seconds: float) -> None:
        """
        Fire C{seconds} from now instead.

        Later is free: the timer stays where it is and moves on when the old tick comes.
        """
        if self._bucket < 0:
            return
        self._due = self._wheel._tick_after(seconds)
        if self._due < self._bucket:
            self._wheel._move(self)


class TimerWheel:
    """
    Timers in one set per tick.

    @param tick: seconds between two looks; how late a timer may be.
    """

    def __init__(self, clock: IReactorTime, tick: float = 1.0) -> None:
        self._clock = clock
        self._tick = tick
        self._buckets: dict[int, set[Timer]] = {}
        self._call: IDelayedCall | None = None

    def add(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call C{callback} C{seconds} from now, or up to a tick later."""
        timer = Timer(self, callback, self._tick_after(seconds))
        self._insert(timer)
        return timer

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def _tick_after(self, seconds: float) -> int:
        now: float = self._clock.seconds()
        return int((now + seconds) / self._tick) + 1

    def _insert(self, timer: Timer) -> None:
        bucket = self._buckets.get(timer._bucket)
        if bucket is None:
            self._buckets[timer._bucket] = {timer}
            self._start()
        else:
            bucket.add(timer)

    def _remove(self, timer: Timer) -> None:
        bucket = self._buckets[timer._bucket]
        bucket.discard(timer)
        if not bucket:
            del self._buckets[timer._bucket]
        timer._bucket = -1

    def _move(self, timer: Timer) -> None:
        due = timer._due
        self._remove(timer)
        timer._bucket = due
        self._insert(timer)

    def _start(self) -> None:
        if self._call is not None:
            return
        now: float = self._clock.seconds()
        self._call = self._clock.callLater((int(now / self._tick) + 1) * self._tick - now, self._turn)

    def _turn(self) -> None:
        self._call = None
        now = int(self._clock.seconds() / self._tick)
        # A timer's tick is the first whole one after its time, so every tick up to the present one is due.
        due = [
            timer for tick in sorted(t for t in self._buckets if t <= now) for timer in self._buckets[tick]
        ]
        for timer in due:
            self._fire(timer)
        if self._buckets:
            self._start()

    def _fire(self, timer: Timer) -> None:
        if timer._bucket < 0:
            return
        if timer._due > timer._bucket:
            self._move(timer)
            return
        self._remove(timer)
        try:
            timer._callback()
        except Exception:
            _log.failure("{event}: a timer's callback failed", event="timer_failed", fault="ours")
