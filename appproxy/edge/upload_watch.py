"""
Whether a request's body comes at a bearable pace.
"""

from __future__ import annotations

from typing import Final

from appproxy.model.refusal import Error, Refusal

BODY_RATE_WINDOW_SECONDS: Final = 30.0
BODY_RATE_BYTES: Final = 240 * 30
"""
A request body slower than 240 B/s over 30 s holds a stream for nothing. Once the
answer has begun the two go on side by side (RDG_IN_DATA does so), at any pace.
"""

_TOO_SLOW: Final = Refusal(Error.RequestTimeout, "body_too_slow")
_NOT_TAKEN: Final = Refusal(Error.GatewayTimeout, "backend_timeout", "operator")


class UploadWatch:
    """
    Looks at one request's body once in a window.

    @param patience_seconds: how long the backend may take nothing of it.
    """

    __slots__ = ("_held_up", "_patience_seconds", "_received", "_stalled_seconds")

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._received = 0
        self._stalled_seconds = 0.0
        self._held_up = False

    def hold_up(self) -> None:
        """We asked the client to wait: for this window its slowness is not its own."""
        self._held_up = True

    def look(self, received: int, paused: bool) -> Refusal | None:
        """
        The end of a window.

        @param received: bytes of the body so far.
        @param paused: whether the client waits for us now.
        @return: why to give up, or L{None} to go on.
        """
        moved, self._received = received - self._received, received
        held_up, self._held_up = self._held_up, paused
        if moved >= BODY_RATE_BYTES:
            self._stalled_seconds = 0.0
        elif not held_up:
            return _TOO_SLOW
        else:
            self._stalled_seconds += BODY_RATE_WINDOW_SECONDS
            if self._stalled_seconds > self._patience_seconds:
                return _NOT_TAKEN
        return None
