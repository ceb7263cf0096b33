"""
The sessions that one process knows, bounded in number. Pure: no store, no clock.
"""

from __future__ import annotations

import heapq
from typing import Final

from appproxy.session.record import SessionRecord

MAXIMUM_SESSIONS: Final = 50_000
"""Sessions kept in memory, about 2 KB each; one more costs a read of the store."""

MAXIMUM_COOKIES: Final = 100_000
"""Opened cookies kept, one for each session and host; one more costs an unsealing."""

MAXIMUM_ENDED: Final = 100_000
"""Ended sessions remembered, so that their cookies cost no read of the store."""

_STALE_EXPIRIES: Final = 1_000
"""Expiry times of sessions that ended earlier, kept besides as many as there are sessions."""


class KnownSession:
    """
    A session as this process knows it.

    @ivar revision: the store's, of the record that was read.
    @ivar touch_at: when its use is next told to the store.
    @ivar check_at: until then a cookie that was opened once is good without
        another look: before the next touch, the end, and the end of grace.
        In the past as soon as anything about the session changed.
    """

    __slots__ = ("check_at", "created_at", "expires_at", "id", "lease", "principal", "revision", "touch_at")

    def __init__(self, record: SessionRecord, revision: int, touch_at: float) -> None:
        self.id = record.session_id
        self.principal = record.principal
        self.created_at = record.created_at
        self.expires_at = record.expires_at
        self.lease = record.lease
        self.revision = revision
        self.touch_at = touch_at
        self.check_at = 0.0


class SessionMemory:
    """
    @ivar sessions: by id.
    @ivar opened: by host and cookie; an entry counts until its C{check_at}.
    @ivar ended: why, by id, the latest ones.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, KnownSession] = {}
        self.opened: dict[tuple[bytes, bytes], KnownSession] = {}
        self.ended: dict[str, str] = {}
        self._expiries: list[tuple[float, str]] = []

    def keep(self, record: SessionRecord, revision: int, touch_at: float) -> None:
        """Know a session, or know it anew; the one known longest makes room."""
        old = self.sessions.pop(record.session_id, None)
        if old is not None:
            old.check_at = 0.0
        elif len(self.sessions) >= MAXIMUM_SESSIONS:
            self.sessions.pop(next(iter(self.sessions))).check_at = 0.0
        session = KnownSession(record, revision, touch_at)
        self.sessions[session.id] = session
        heapq.heappush(self._expiries, (session.expires_at, session.id))

    def open(self, host: bytes, cookie: bytes, session: KnownSession) -> None:
        """Know that a cookie of a host opens a session."""
        if len(self.opened) >= MAXIMUM_COOKIES:
            self.opened.clear()  # no order is kept on every hit; each comes back for one unsealing
        self.opened[host, cookie] = session

    def end(self, session_id: str, reason: str) -> bool:
        """
        Know that a session has ended.

        @return: whether that is news.
        """
        if session_id in self.ended:
            return False
        session = self.sessions.pop(session_id, None)
        if session is not None:
            session.check_at = 0.0
        if len(self.ended) >= MAXIMUM_ENDED:
            self.ended.pop(next(iter(self.ended)))
        self.ended[session_id] = reason
        return True

    def distrust(self) -> None:
        """From now on every session needs another look."""
        for session in self.sessions.values():
            session.check_at = 0.0

    def missing(self, there: frozenset[str], revision: int) -> list[str]:
        """The sessions that should stand in a full read at C{revision}, and do not."""
        return [
            session.id
            for session in self.sessions.values()
            if session.revision <= revision and session.id not in there
        ]

    def expired(self, now: float) -> list[KnownSession]:
        """The sessions that have reached their maximum lifetime; each is told once."""
        due = []
        while self._expiries and self._expiries[0][0] <= now:
            _, session_id = heapq.heappop(self._expiries)
            session = self.sessions.get(session_id)
            if session is not None and session.expires_at <= now:
                due.append(session)
        if len(self._expiries) > 2 * len(self.sessions) + _STALE_EXPIRIES:
            self._expiries = [(session.expires_at, session.id) for session in self.sessions.values()]
            heapq.heapify(self._expiries)
        return due
