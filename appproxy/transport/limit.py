"""
How many connections a process takes, over all of its listeners.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

MAXIMUM_CONNECTIONS: Final = 20000
"""C{limits.connections}, unless set: some 25 KiB each is half a gigabyte."""

RESERVED_FOR_TUNNELS: Final = 100
"""
Connections beyond the limits, of which only tunnels may stay: without them nobody is served, however many
have got in. What somebody wants shows in the first message, for which there is a deadline.
"""

TELL_SECONDS: Final = 60.0
"""Between two lines of one kind: whoever causes them must not fill the log as well."""

ALL: Final = "connection_limit"
OF_ADDRESS: Final = "connection_limit_of_address"

_log: Final = Logger(__name__)


class ConnectionLimit:
    """
    Counts connections, and turns away those that are too many.

    @ivar active: how many there are.
    @ivar refused: how many were turned away so far, by the limit that they met.
    """

    def __init__(self, clock: IReactorTime, maximum: int = MAXIMUM_CONNECTIONS, per_address: int = 0) -> None:
        """
        @param per_address: connections from one address; 0 = no limit of its own.
        """
        self._clock = clock
        self._maximum = maximum
        self._per_address = per_address
        self._hosts: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._silent_until = {ALL: 0.0, OF_ADDRESS: 0.0}
        self.active = 0
        self.refused = {ALL: 0, OF_ADDRESS: 0}

    def admit(self, peer: IAddress, reserve: int = 0) -> bool:
        """
        Count one more, if there is room.

        @param reserve: how many more than the limits say there may be.
        """
        host = _host(peer)
        if self._limit_met(host, reserve - 1):
            return False
        self.active += 1
        if self._per_address:
            self._hosts[host] += 1
        return True

    def is_over(self, peer: IAddress) -> bool:
        """Whether one that was admitted is one too many."""
        return bool(self._limit_met(_host(peer), 0))

    def refuse(self, peer: IAddress) -> None:
        """Take note that one is turned away, and tell the operator now and then."""
        host = _host(peer)
        reason = self._limit_met(host, 0) or self._limit_met(host, -1)
        if not reason:
            return
        self.refused[reason] += 1
        self._untold[reason] += 1
        now = self._clock.seconds()
        if now >= self._silent_until[reason]:
            self._silent_until[reason] = now + TELL_SECONDS
            self._tell(reason, host, self._untold.pop(reason))

    def leave(self, peer: IAddress) -> None:
        """Forget one that L{admit} let in."""
        self.active -= 1
        if not self._per_address:
            return
        host = _host(peer)
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    def _limit_met(self, host: str, beyond: int) -> str:
        """Which limit there are more connections than, by more than this; empty if there is none."""
        if self.active > self._maximum + beyond:
            return ALL
        if self._per_address and host and self._hosts[host] > self._per_address + beyond:
            return OF_ADDRESS
        return ""

    def _tell(self, reason: str, host: str, count: int) -> None:
        if reason == ALL:
            _log.warn(
                "{event}: {count} connections were turned away, since there are {maximum}: look who has so "
                "many (appproxy_client_connections), or raise limits.connections",
                event="connections_full",
                fault="operator",
                count=count,
                maximum=self._maximum,
            )
        else:
            _log.warn(
                "{event}: {count} connections were turned away, the last one of {peer}, which has {maximum} "
                "(limits.connections_per_address)",
                event="connections_of_address_full",
                fault="peer",
                count=count,
                peer=host,
                maximum=self._per_address,
            )


def _host(peer: IAddress) -> str:
    return str(getattr(peer, "host", ""))
