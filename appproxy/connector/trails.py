"""
What became of the requests that came lately: for an edge that asks.

Nothing of what a user sent is in it: neither path nor headers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appproxy.tunnel.times import pack_times

REMEMBERED: Final = 16_384
"""Requests, with some 300 bytes each: seconds of a busy connector, hours of a quiet one."""

FAILED_REMEMBERED: Final = 4096
"""Requests that failed, which stay longer: they are what is asked for."""

LONGEST_DETAIL: Final = 512
"""Characters; as many as a RESET carries."""

_NEVER: Final = -1.0


class Trail:
    """
    The steps of one request; times are seconds since the epoch.

    @ivar connected: when a new connection was there; not set if one was there already.
    @ivar reused: whether the connection had served before.
    @ivar signed_on: when the user was signed on, where that is more than a header.
    @ivar sign_on_seconds: how long it took, also where the application asked for it twice.
    @ivar asked: since when only the application is waited for: it has the request.
    @ivar answered: when the head of the answer came.
    @ivar step: when the latest of the steps before the request was sent was done.
    """

    __slots__ = (
        "_signing_on",
        "answered",
        "application",
        "asked",
        "began",
        "connected",
        "detail",
        "ended",
        "id",
        "reason",
        "reused",
        "sign_on_seconds",
        "signed_on",
        "status",
        "step",
    )

    def __init__(self, transaction_id: str, application: str, began: float) -> None:
        self.id = transaction_id
        self.application = application
        self.began = self.step = began
        self.connected = self.asked = self.answered = self.ended = _NEVER
        self._signing_on = self.signed_on = self.sign_on_seconds = _NEVER
        self.reused = False
        self.status = 0
        self.reason = self.detail = ""

    def times(self, now: float) -> bytes:
        """For an edge, when the head of the answer or a failure is there: C{docs/tunnel.md}, section 4."""
        asked = self.asked
        if self._signing_on >= 0:
            # It failed, or was given up.
            self._sign_on_lasted(now)
        backend = _passed(asked, now) if asked >= 0 else _NEVER
        return pack_times(_passed(self.began, now), backend, self.sign_on_seconds)

    def sign_on_begins(self, now: float) -> None:
        """The user's sign-on begins, or begins anew; the application has nothing to answer meanwhile."""
        self._signing_on = now
        self.asked = _NEVER

    def sign_on_done(self, now: float) -> None:
        """The user is signed on."""
        self._sign_on_lasted(now)
        self.signed_on = self.step = now

    def _sign_on_lasted(self, now: float) -> None:
        self.sign_on_seconds = max(self.sign_on_seconds, 0.0) + _passed(self._signing_on, now)
        self._signing_on = _NEVER

    def as_dict(self) -> dict[str, object]:
        """As an edge is told it: C{docs/tunnel.md}, section 14."""
        told: dict[str, object] = {"application": self.application, "began": self.began}
        for name, at in (
            ("connected_ms", self.connected),
            ("signed_on_ms", self.signed_on),
            ("answered_ms", self.answered),
            ("ended_ms", self.ended),
        ):
            if at >= 0:
                told[name] = round((at - self.began) * 1000, 1)
        if self.reused:
            told["reused"] = True
        if self.status:
            told["status"] = self.status
        if self.reason:
            told |= {"reason": self.reason, "detail": self.detail[:LONGEST_DETAIL]}
        return told


def _passed(since: float, now: float) -> float:
    """The clock is followed up by small steps, backwards too."""
    return now - since if now > since else 0.0


class Trails:
    """
    The latest requests of all tunnels.

    @ivar seconds: the clock.
    """

    __slots__ = ("_failed", "_failed_next", "_next", "_recent", "seconds")

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._recent: list[Trail | None] = [None] * REMEMBERED
        self._next = 0
        self._failed: list[Trail | None] = [None] * FAILED_REMEMBERED
        self._failed_next = 0

    def begin(self, transaction_id: str, application: str) -> Trail:
        """A request came; the oldest one is forgotten for it."""
        trail = Trail(transaction_id, application, self.seconds())
        place = self._next
        self._recent[place] = trail
        self._next = (place + 1) % REMEMBERED
        return trail

    def failed(self, trail: Trail, reason: str, detail: str) -> None:
        """It came to nothing."""
        trail.reason, trail.detail = reason, detail
        place = self._failed_next
        self._failed[place] = trail
        self._failed_next = (place + 1) % FAILED_REMEMBERED

    def find(self, transaction_id: str) -> Trail | None:
        """The trail of a request; the latest, if it came here twice."""
        known = [
            trail
            for some in (self._failed, self._recent)
            for trail in some
            if trail is not None and trail.id == transaction_id
        ]
        return max(known, key=lambda trail: trail.began, default=None)
