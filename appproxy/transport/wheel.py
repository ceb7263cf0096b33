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


def _nothing() -> None:
    """What a timer calls that was cancelled, or has fired."""


class Timer:
    """One deadline of a L{TimerWheel}."""

    __slots__ = ("_bucket", "_callback", "_due", "_place", "_tick", "_wheel")

    def __init__(self, wheel: TimerWheel, callback: Callable[[], object], due: int) -> None:
        self._wheel = wheel
        self._callback = callback
        # When it is to fire, and when the wheel looks at it next.
        self._due = self._tick = due
        # Where it stands, so that it is found without a search.
        self._bucket: list[Timer] = wheel._bucket(due)
        self._place = len(self._bucket)
        self._bucket.append(self)

    @property
    def active(self) -> bool:
        """Whether it can still fire."""
        return self._place >= 0

    def cancel(self) -> None:
        """Never fire. Doing it twice, or after it fired, is no mistake."""
        if self._place >= 0:
            self._leave()
            self._wheel._count -= 1
            # Its owner keeps it, mostly, and is what it calls: the two would keep one another.
            self._callback = _nothing

    def reset(self, seconds: float) -> None:
        """
        Fire C{seconds} from now instead.

        Later is free: the timer stays where it is and moves on when the old tick comes.
        """
        if self._place < 0:
            return
        self._due = self._wheel._tick_after(seconds)
        if self._due < self._tick:
            self._move()

    def _leave(self) -> None:
        """The last one takes its place."""
        last = self._bucket.pop()
        if last is not self:
            self._bucket[self._place] = last
            last._place = self._place
        self._place = -1

    def _move(self) -> None:
        self._leave()
        self._tick = self._due
        self._bucket = self._wheel._bucket(self._due)
        self._place = len(self._bucket)
        self._bucket.append(self)


class TimerWheel:
    """
    Timers in one list per tick.

    @param tick: seconds between two looks; how late a timer may be.
    """

    def __init__(self, clock: IReactorTime, tick: float = 1.0) -> None:
        self._clock = clock
        self._seconds: Callable[[], float] = clock.seconds
        self._tick = tick
        self._buckets: dict[int, list[Timer]] = {}
        # The bucket that was asked for last: most timers run for equally long.
        self._recent_tick = -1
        self._recent: list[Timer] = []
        self._count = 0
        self._call: IDelayedCall | None = None

    def add(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call C{callback} C{seconds} from now, or up to a tick later."""
        timer = Timer(self, callback, self._tick_after(seconds))
        self._count += 1
        self._start()
        return timer

    def __len__(self) -> int:
        return self._count

    def _tick_after(self, seconds: float) -> int:
        now: float = self._seconds()
        return int((now + seconds) / self._tick) + 1

    def _bucket(self, tick: int) -> list[Timer]:
        if tick == self._recent_tick:
            return self._recent
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = []
        self._recent_tick, self._recent = tick, bucket
        return bucket

    def _start(self) -> None:
        if self._call is not None:
            return
        now: float = self._seconds()
        self._call = self._clock.callLater((int(now / self._tick) + 1) * self._tick - now, self._turn)

    def _turn(self) -> None:
        self._call = None
        now = int(self._seconds() / self._tick)
        # A timer's tick is the first whole one after its time, so every tick up to the present one is due.
        ticks = sorted([tick for tick in self._buckets if tick <= now])
        due = [timer for tick in ticks for timer in self._buckets.pop(tick)]
        self._recent_tick = -1
        for timer in due:
            self._fire(timer)
        if not self._count:
            self._buckets.clear()
            self._recent_tick = -1
        else:
            self._start()

    def _fire(self, timer: Timer) -> None:
        if not timer.active:
            return
        if timer._due > timer._tick:
            timer._move()
            return
        callback = timer._callback
        timer.cancel()
        try:
            callback()
        except Exception:
            _log.failure("{event}: a timer's callback failed", event="timer_failed", fault="ours")
