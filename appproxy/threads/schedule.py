"""
Which call is next: round robin over lanes, and within a lane over users.

No threads, no clock: what is put in, taken out and given back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from appproxy.threads.errors import Overloaded

_J = TypeVar("_J")


@dataclass(frozen=True)
class Limits:
    """
    @ivar threads: how many calls run at a time, of all lanes.
    @ivar lane_threads: how many of one lane: fewer, so that a server that
        has fallen silent cannot take them all.
    @ivar waiting: how many calls wait, of all lanes.
    @ivar lane_waiting: how many of one lane.
    @ivar user_waiting: how many of one user in one lane.
    """

    threads: int
    lane_threads: int
    waiting: int
    lane_waiting: int
    user_waiting: int

    def __post_init__(self) -> None:
        """@raise ValueError: if one lane could take every thread, or nothing could ever run or wait."""
        if not 1 <= self.lane_threads < self.threads:
            raise ValueError(f"a lane may have 1 to {self.threads - 1} threads, not {self.lane_threads}")
        if min(self.waiting, self.lane_waiting, self.user_waiting) < 1:
            raise ValueError("at least one call must be allowed to wait")


class Entry(Generic[_J]):
    """A job in its lane; what L{Schedule.add} gives is what the other methods take."""

    __slots__ = ("job", "lane", "user")

    def __init__(self, lane: str, user: str, job: _J) -> None:
        self.lane = lane
        self.user = user
        self.job = job


class _Lane(Generic[_J]):
    """
    @ivar users: those who wait, the next one first; none has an empty queue.
    """

    __slots__ = ("running", "users", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting = 0
        self.users: dict[str, deque[Entry[_J]]] = {}


class Schedule(Generic[_J]):
    """
    Who waits and how many run.

    A lane that runs something leaves the last free thread to lanes that run nothing, so
    that several silent servers, too, leave room for one that answers.

    @ivar waiting: how many entries wait.
    @ivar running: how many were taken and not yet given back.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # The lane whose turn is next comes first. A lane without anything in it is forgotten.
        self._lanes: dict[str, _Lane[_J]] = {}
        self.waiting = 0
        self.running = 0

    def add(self, lane: str, user: str, job: _J) -> Entry[_J]:
        """
        Let a job wait for its turn.

        @raise Overloaded: if it, its lane or its user has too many waiting.
        """
        known = self._lanes.get(lane)
        self._check(known, user)
        if known is None:
            known = self._lanes[lane] = _Lane()
        entry = Entry(lane, user, job)
        known.users.setdefault(user, deque()).append(entry)
        known.waiting += 1
        self.waiting += 1
        return entry

    def _check(self, lane: _Lane[_J] | None, user: str) -> None:
        limits = self._limits
        if self.waiting >= limits.waiting:
            raise Overloaded(f"{limits.waiting} calls wait already")
        if lane is None:
            return
        if lane.waiting >= limits.lane_waiting:
            raise Overloaded(f"{limits.lane_waiting} calls wait already for the same server")
        if len(lane.users.get(user, ())) >= limits.user_waiting:
            raise Overloaded(f"{limits.user_waiting} calls of the same user wait already")

    def take(self) -> Entry[_J] | None:
        """The next entry that may run now; it counts as running until L{done}."""
        free = self._limits.threads - self.running
        if not self.waiting or not free:
            return None
        for name, lane in self._lanes.items():
            if lane.waiting and lane.running < (self._limits.lane_threads if free > 1 else 1):
                # It goes behind the others.
                self._lanes[name] = self._lanes.pop(name)
                return self._next_of(lane)
        return None

    def _next_of(self, lane: _Lane[_J]) -> Entry[_J]:
        user = next(iter(lane.users))
        queue = lane.users.pop(user)
        entry = queue.popleft()
        if queue:
            lane.users[user] = queue
        lane.waiting -= 1
        lane.running += 1
        self.waiting -= 1
        self.running += 1
        return entry

    def done(self, entry: Entry[_J]) -> None:
        """A taken entry has run: its place is free."""
        lane = self._lanes[entry.lane]
        lane.running -= 1
        self.running -= 1
        self._forget_if_empty(entry.lane, lane)

    def remove(self, entry: Entry[_J]) -> bool:
        """Let an entry wait no longer; false if it does not wait (any more)."""
        lane = self._lanes.get(entry.lane)
        queue = lane.users.get(entry.user) if lane else None
        if lane is None or queue is None or entry not in queue:
            return False
        queue.remove(entry)
        if not queue:
            del lane.users[entry.user]
        lane.waiting -= 1
        self.waiting -= 1
        self._forget_if_empty(entry.lane, lane)
        return True

    def clear(self) -> list[_J]:
        """Let nothing wait any more; what waited, lane by lane."""
        entries = [entry for lane in self._lanes.values() for queue in lane.users.values() for entry in queue]
        for entry in entries:
            self.remove(entry)
        return [entry.job for entry in entries]

    def _forget_if_empty(self, name: str, lane: _Lane[_J]) -> None:
        if not lane.waiting and not lane.running:
            del self._lanes[name]
