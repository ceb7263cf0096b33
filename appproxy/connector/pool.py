"""
Backend connections of one application: shared, of a user, or private to one
client connection.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from twisted.internet.defer import Deferred

from appproxy.connector.backend_connection import BackendConnection
from appproxy.transport.wheel import Timer, TimerWheel

SHARED: Final = "shared"
"""The key of connections that any user of the application may be served on."""

PRIVATE_IDLE_SECONDS: Final = 600.0
"""
A private connection normally ends with its client's connection; past this, that
message was lost.
"""


class Pool:
    """
    @param dial: opens a new connection; the pool gives it the callback to call
        when the connection is closed.
    @param maximum_idle: kept idle at most, shared and per-user ones together.
    """

    def __init__(
        self,
        dial: Callable[[Callable[[BackendConnection], None]], Deferred[BackendConnection]],
        wheel: TimerWheel,
        seconds: Callable[[], float],
        maximum_idle: int,
        idle_timeout_seconds: float,
    ) -> None:
        self._dial = dial
        self._wheel = wheel
        self._seconds = seconds
        self._maximum_idle = maximum_idle
        self._idle_timeout_seconds = idle_timeout_seconds
        self._idle: dict[Hashable, list[BackendConnection]] = {}
        self._idle_count = 0
        self._private: dict[Hashable, BackendConnection] = {}
        self._all: set[BackendConnection] = set()
        self._sweep: Timer | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._all)

    @property
    def idle(self) -> int:
        """How many of them wait in the pool."""
        return self._idle_count

    def take(self, key: Hashable, owner: Hashable) -> BackendConnection | None:
        """
        A connection that is there already.

        @param key: L{SHARED}, or the user whose connections these are.
        @param owner: the client's connection; its private one comes first.
        """
        if self._private:
            private = self._private.get(owner)
            if private is not None:
                return private if private.open else None
        waiting = self._idle.get(key)
        while waiting:
            connection = waiting.pop()
            self._idle_count -= 1
            if connection.open:
                return connection
        return None

    def connect(self) -> Deferred[BackendConnection]:
        """A new connection."""
        dialled = self._dial(self._forget)

        def entered(connection: BackendConnection) -> BackendConnection:
            self._all.add(connection)
            return connection

        return dialled.addCallback(entered)

    def release(self, connection: BackendConnection, key: Hashable, clean: bool) -> None:
        """Take a connection back after an exchange; only a clean one is kept."""
        if connection.owner is not None:
            if not clean:
                connection.discard()
            connection.idle_since = self._seconds()
            self._sweep_later()
            return
        if not clean or self._closed or self._idle_count >= self._maximum_idle:
            connection.discard()
            return
        connection.idle_since = self._seconds()
        self._idle_count += 1
        try:
            self._idle[key].append(connection)
        except KeyError:
            self._idle[key] = [connection]
        self._sweep_later()

    def make_private(self, connection: BackendConnection, owner: Hashable) -> None:
        """From now on this connection serves one client connection alone, and dies with it."""
        if connection.owner is None:
            connection.owner = owner
            self._private[owner] = connection

    def owner_gone(self, owner: Hashable) -> None:
        """The client's connection is closed."""
        connection = self._private.pop(owner, None)
        if connection is not None:
            connection.discard()

    def forget_user(self, key: Hashable) -> None:
        """The user's session ended: their connections go."""
        for connection in self._idle.pop(key, []):
            self._idle_count -= 1
            connection.discard()

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back."""
        self._closed = True
        for waiting in list(self._idle.values()):
            for connection in waiting:
                connection.discard()
        self._idle.clear()
        self._idle_count = 0
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _forget(self, connection: BackendConnection) -> None:
        self._all.discard(connection)
        if connection.owner is not None and self._private.get(connection.owner) is connection:
            del self._private[connection.owner]

    def _sweep_later(self) -> None:
        if self._sweep is None and not self._closed:
            self._sweep = self._wheel.add(self._idle_timeout_seconds / 2, self._close_stale)

    def _close_stale(self) -> None:
        self._sweep = None
        now = self._seconds()
        for key, waiting in list(self._idle.items()):
            fresh = [
                each for each in waiting if each.open and now - each.idle_since < self._idle_timeout_seconds
            ]
            for connection in set(waiting) - set(fresh):
                connection.discard()
            self._idle_count -= len(waiting) - len(fresh)
            if fresh:
                self._idle[key] = fresh
            else:
                del self._idle[key]
        for owner, private in list(self._private.items()):
            if private.idle_since and now - private.idle_since > PRIVATE_IDLE_SECONDS:
                del self._private[owner]
                private.discard()
        if self._idle or self._private:
            self._sweep_later()
