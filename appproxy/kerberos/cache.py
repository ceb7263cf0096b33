"""
Users' tickets, kept for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, NamedTuple, TypeVar

_T = TypeVar("_T")

NEW_SECONDS: Final = 60.0
"""
A ticket that is not older need not be replaced when an application refuses it: its key has hardly changed
since, and one that lets somebody in nowhere would have the KDC asked again and again.
"""

SPARE_SECONDS: Final = 120.0
"""A ticket is not used in its last moments: the application's clock may be ahead."""


class TicketKey(NamedTuple):
    """
    Whose ticket, for what. A user is (issuer, subject); the SID is there because the directory may
    meanwhile name another account for the same user.
    """

    issuer: str
    subject: str
    sid: str
    spn: str


class Times:
    """
    @ivar even: seconds of a clock that nobody sets (the reactor's).
    @ivar system: the system's clock, which libkrb5 reads.
    """

    __slots__ = ("even", "system")

    def __init__(self, even: float, system: float) -> None:
        self.even = even
        self.system = system


class _Kept(Generic[_T]):
    __slots__ = ("account", "drop_at", "ends_at", "ticket")

    def __init__(self, account: str, ticket: _T, drop_at: float, ends_at: float) -> None:
        self.account = account
        self.ticket = ticket
        self.drop_at = drop_at
        self.ends_at = ends_at


class TicketCache(Generic[_T]):
    """
    Bounded in number, the least recently used goes first, and in time.

    Both clocks count: the even one for how long a ticket is kept, which is also how long a change in the
    directory may go unseen; the system's for the ticket's own end, after which libkrb5 would ask the KDC.
    """

    def __init__(self, size: int, keep_seconds: float) -> None:
        """
        @param size: the most tickets that are kept; each takes some 11 KiB.
        @raise ValueError: if nothing could be kept.
        """
        if size < 1 or keep_seconds < 0:
            raise ValueError("a ticket cache needs room for one ticket, and a time")
        self._size = size
        self._keep_seconds = keep_seconds
        self._kept: OrderedDict[TicketKey, _Kept[_T]] = OrderedDict()
        self._of_user: dict[tuple[str, str], set[TicketKey]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: TicketKey, account: str, now: Times) -> _T | None:
        """The ticket of that account, if it has life enough left."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.account != account or not _lives(kept, now):
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.ticket

    def put(self, key: TicketKey, account: str, ticket: _T, ends_at: float, now: Times) -> None:
        """
        Keep a ticket, unless it is about to end.

        @param ends_at: by the system's clock.
        """
        self.drop(key)
        kept = _Kept(account, ticket, now.even + self._keep_seconds, ends_at - SPARE_SECONDS)
        if not _lives(kept, now):
            return
        while len(self._kept) >= self._size:
            self.drop(next(iter(self._kept)))
        self._kept[key] = kept
        self._of_user.setdefault(key[:2], set()).add(key)

    def drop(self, key: TicketKey) -> None:
        """Keep this ticket no longer."""
        if self._kept.pop(key, None) is None:
            return
        keys = self._of_user[key[:2]]
        keys.discard(key)
        if not keys:
            del self._of_user[key[:2]]

    def drop_old(self, issuer: str, subject: str, spn: str, now: Times) -> bool:
        """
        Keep none of this user's for a service that is older than L{NEW_SECONDS}.

        @return: whether there was one.
        """
        old = [
            key
            for key in self._of_user.get((issuer, subject), ())
            if key.spn == spn and self._kept[key].drop_at - self._keep_seconds + NEW_SECONDS <= now.even
        ]
        for key in old:
            self.drop(key)
        return bool(old)

    def forget(self, issuer: str, subject: str) -> None:
        """Keep none of this user's."""
        for key in list(self._of_user.get((issuer, subject), ())):
            self.drop(key)

    def sweep(self, now: Times) -> None:
        """Drop what nobody has asked for since it ended: keys are not kept longer than they are of use."""
        for key in [key for key, kept in self._kept.items() if not _lives(kept, now)]:
            self.drop(key)

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._of_user.clear()


def _lives(kept: _Kept[_T], now: Times) -> bool:
    return now.even < kept.drop_at and now.system < kept.ends_at
