"""
Backend connections of one application: shared, of a user, or private to one
client connection.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final

from twisted.internet.defer import Deferred

from appproxy.connector.backend_connection import BackendConnection, Owner
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
    @ivar idle: how many connections wait in the pool.
    @ivar by_client: private connections, by the client's connection and by owner.
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
        self.idle = 0
        self.by_client: dict[int, dict[Owner, BackendConnection]] = {}
        self._all: set[BackendConnection] = set()
        self._sweep: Timer | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._all)

    @property
    def private(self) -> int:
        """How many belong to one client connection each."""
        return sum(map(len, self.by_client.values()))

    def take_private(self, owner: Owner) -> BackendConnection | None:
        """The connection that is this client's alone, if there is one and it is free."""
        owned = self.by_client.get(owner.client)
        connection = owned.get(owner) if owned else None
        return connection if connection is not None and connection.open and not connection.busy else None

    def take(self, key: Hashable) -> BackendConnection | None:
        """
        A connection that is there already; the one used last, so that the rest can go.

        @param key: L{SHARED}, or the user whose connections these are.
        """
        waiting = self._idle.get(key)
        while waiting:
            connection = waiting.pop()
            self._left(connection)
            if connection.open:
                return connection
        return None

    def connect(self) -> Deferred[BackendConnection]:
        """A new connection."""
        return self._dial(self._forget).addCallback(self._entered)

    def release(self, connection: BackendConnection, key: Hashable, clean: bool) -> None:
        """Take a connection back after an exchange; only a clean one is kept."""
        owner = connection.owner
        if owner is not None:
            keep = clean and self.by_client.get(owner.client, {}).get(owner) is connection
        else:
            keep = clean and self.idle < self._maximum_idle
        if not keep or self._closed:
            connection.discard()
            return
        connection.idle_since = self._seconds()
        if owner is None:
            self._idle.setdefault(key, []).append(connection)
            connection.idle_key = key
            self.idle += 1
        self._sweep_later()

    def make_private(self, connection: BackendConnection, owner: Owner) -> None:
        """
        From now on this connection serves one user on one client connection, and dies
        with it. Where nobody knows which client it is, it serves this exchange only.
        """
        if connection.owner is None:
            connection.owner = owner
            if owner.client:
                self.by_client.setdefault(owner.client, {})[owner] = connection

    def owner_gone(self, client: int) -> None:
        """The client's connection is closed."""
        self._disown(self.by_client.pop(client, {}).values())

    def forget_user(self, user: int) -> None:
        """The user's session ended: their connections go."""
        self._discard_idle(self._idle.pop(user, []))
        for owned in list(self.by_client.values()):
            self._disown([owned[owner] for owner in owned if owner.user == user])

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back."""
        self._closed = True
        idle, self._idle = self._idle, {}
        for waiting in idle.values():
            self._discard_idle(waiting)
        for client in list(self.by_client):
            self.owner_gone(client)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _entered(self, connection: BackendConnection) -> BackendConnection:
        if connection.open:
            self._all.add(connection)
        return connection

    def _left(self, connection: BackendConnection) -> None:
        """It waits no longer."""
        connection.idle_key = None
        self.idle -= 1

    def _discard_idle(self, connections: list[BackendConnection]) -> None:
        """Close those that were taken out of their list."""
        for connection in connections:
            self._left(connection)
            connection.discard()

    def _disown(self, connections: Iterable[BackendConnection]) -> None:
        """Nobody can get these again; those in use go when they come back."""
        for connection in list(connections):
            self._forget_private(connection)
            if not connection.busy:
                connection.discard()

    def _forget(self, connection: BackendConnection) -> None:
        """A connection is closed."""
        self._all.discard(connection)
        key = connection.idle_key
        if key is not None:
            self._left(connection)
            self._idle[key].remove(connection)
        self._forget_private(connection)

    def _forget_private(self, connection: BackendConnection) -> None:
        owner = connection.owner
        owned = self.by_client.get(owner.client) if owner is not None else None
        if owner is not None and owned is not None and owned.get(owner) is connection:
            del owned[owner]
            if not owned:
                del self.by_client[owner.client]

    def _sweep_later(self) -> None:
        if self._sweep is None and not self._closed:
            self._sweep = self._wheel.add(self._idle_timeout_seconds / 2, self._close_stale)

    def _close_stale(self) -> None:
        self._sweep = None
        oldest = self._seconds() - self._idle_timeout_seconds
        for key, waiting in list(self._idle.items()):
            stale = [each for each in waiting if each.idle_since <= oldest]
            kept = [each for each in waiting if each.idle_since > oldest]
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
            self._discard_idle(stale)
        lost = self._seconds() - PRIVATE_IDLE_SECONDS
        for owned in list(self.by_client.values()):
            self._disown([each for each in owned.values() if not each.busy and each.idle_since <= lost])
        if self._idle or self.by_client:
            self._sweep_later()
