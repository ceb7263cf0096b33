"""
What can be said of a session cookie when it opens no session.
"""

from __future__ import annotations


class NotHere(Exception):
    """
    The cookie is genuine, but this process has not seen its session yet.

    @ivar session_id: what to fetch, before asking again.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id[:8])
        self.session_id = session_id


class CookieProblem(Exception):
    """
    There is no session behind this cookie.

    @ivar reason: C{cookie_invalid}, C{session_ended} or C{session_expired}.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreAway(Exception):
    """The store has been away for longer than sessions may go on without it."""
