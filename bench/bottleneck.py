"""
The narrowest place of a line, as arithmetic: a rate, a delay and a queue.
"""

from __future__ import annotations


class Bottleneck:
    """
    One direction of a line. What enters waits for what entered before it, leaves at the line's
    rate, and arrives a delay later.

    A token bucket without burst: a router's interface sends one packet after the other.
    It holds no bytes itself, only the time until which the interface is busy.

    @ivar rate: bytes a second.
    @ivar delay: seconds from the interface to the far end.
    @ivar capacity: bytes that may wait for the interface.
    """

    __slots__ = ("_busy_until", "capacity", "delay", "rate")

    def __init__(self, rate: float, delay: float, capacity: int) -> None:
        if rate <= 0 or delay < 0 or capacity <= 0:
            raise ValueError("a line has a rate, a queue, and no negative delay")
        self.rate = rate
        self.delay = delay
        self.capacity = capacity
        self._busy_until = float("-inf")

    def queued(self, now: float) -> float:
        """Bytes that wait for the interface, what it is sending included."""
        return max(0.0, self._busy_until - now) * self.rate

    def has_room(self, size: int, now: float) -> bool:
        """Whether so many bytes more fit into the queue; an empty queue takes any size."""
        queued = self.queued(now)
        return not queued or queued + size <= self.capacity

    def room_in(self, size: int, now: float) -> float:
        """Seconds from now until L{has_room} is true, if nothing else enters."""
        if self.has_room(size, now):
            return 0.0
        return (self.queued(now) - max(0, self.capacity - size)) / self.rate

    def enter(self, size: int, now: float) -> float | None:
        """
        Put bytes into the queue.

        @return: when they arrive at the far end; L{None} if they did not fit, and are lost.
        """
        if not self.has_room(size, now):
            return None
        self._busy_until = max(now, self._busy_until) + size / self.rate
        return self._busy_until + self.delay
