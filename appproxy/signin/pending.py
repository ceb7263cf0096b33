"""
The sign-ins under way in one browser, kept in that browser: a sealed cookie at
the sign-in host, so that whoever merely starts sign-ins costs no memory. Pure.
"""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from appproxy.session.handover import SignInRequest

MAXIMUM_PENDING: Final = 8
"""Sign-ins under way in one browser; C{limits.pending_sign_ins_per_browser}."""

PENDING_SECONDS: Final = 3600.0
"""How long one may take: somebody has to find the second factor first."""

COOKIE_DATA_LIMIT: Final = 2700
"""Bytes before sealing: sealed and named, the cookie stays below the 4096 bytes that browsers keep."""


@dataclass(frozen=True)
class PendingSignIn:
    """
    One sign-in under way.

    @ivar id: names it in C{state}.
    @ivar request: where to go afterwards.
    @ivar started_at: seconds since the epoch.
    """

    id: str
    request: SignInRequest
    started_at: float


@dataclass(frozen=True)
class PendingSignIns:
    """
    All of one browser, oldest first.

    @ivar secret: of this browser; each sign-in's nonce and code verifier come of it.
    """

    secret: str
    pending: tuple[PendingSignIn, ...] = ()
    maximum: int = MAXIMUM_PENDING

    @property
    def is_full(self) -> bool:
        """Whether one more pushes the oldest out."""
        return len(self.pending) >= self.maximum

    def started(self, request: SignInRequest, now: float) -> PendingSignIns:
        """With one more, which is the last; the oldest go where there is no room."""
        new = PendingSignIn(secrets.token_urlsafe(12), request, now)
        alive = [each for each in self.pending if not _is_over(each, now)]
        return self._with([*alive, new][-self.maximum :])

    def find(self, identifier: str, now: float) -> PendingSignIn | None:
        """The sign-in of this id, unless it took too long."""
        for each in self.pending:
            if each.id == identifier and not _is_over(each, now):
                return each
        return None

    def without(self, identifier: str) -> PendingSignIns:
        """With one less."""
        return self._with([each for each in self.pending if each.id != identifier])

    def nonce(self, pending: PendingSignIn) -> str:
        """What the ID token must repeat."""
        return self._derived("nonce", pending)

    def verifier(self, pending: PendingSignIn) -> str:
        """The code verifier: 43 characters of 256 bits (RFC 7636, section 4.1)."""
        return self._derived("verifier", pending)

    def encoded(self) -> bytes:
        """What goes into the cookie, once sealed; drops the oldest until it fits."""
        kept = list(self.pending)
        while True:
            data = json.dumps(
                [self.secret, [[each.id, each.started_at, asdict(each.request)] for each in kept]],
                separators=(",", ":"),
            ).encode()
            if len(data) <= COOKIE_DATA_LIMIT or not kept:
                return data
            kept.pop(0)

    def _derived(self, purpose: str, pending: PendingSignIn) -> str:
        digest = hmac.digest(self.secret.encode(), f"{purpose} {pending.id}".encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _with(self, pending: Sequence[PendingSignIn]) -> PendingSignIns:
        return PendingSignIns(self.secret, tuple(pending), self.maximum)


def no_pending(maximum: int = MAXIMUM_PENDING) -> PendingSignIns:
    """A browser that has begun nothing yet."""
    return PendingSignIns(secrets.token_urlsafe(32), (), maximum)


def decode_pending(data: bytes, maximum: int = MAXIMUM_PENDING) -> PendingSignIns:
    """
    The reverse of L{PendingSignIns.encoded}, of data that was sealed.

    @raise ValueError: if another version wrote it.
    """
    try:
        secret, entries = json.loads(data)
        return PendingSignIns(secret, tuple(_entry(*entry) for entry in entries), maximum)
    except TypeError:
        raise ValueError("not the form of this version") from None


def _entry(identifier: str, started_at: float, request: dict[str, Any]) -> PendingSignIn:
    return PendingSignIn(identifier, SignInRequest(**request), started_at)


def _is_over(pending: PendingSignIn, now: float) -> bool:
    return now >= pending.started_at + PENDING_SECONDS
