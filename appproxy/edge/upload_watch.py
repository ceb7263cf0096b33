"""
Whether a request's body comes at a bearable pace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction
from appproxy.transport.wheel import TimerWheel

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
    Looks at one request's body once in a window, until it is stopped.
    """

    __slots__ = (
        "_give_up",
        "_held_up",
        "_patience_seconds",
        "_paused",
        "_received",
        "_stalled_seconds",
        "_timer",
        "_transaction",
        "_wheel",
    )

    def __init__(
        self,
        wheel: TimerWheel,
        transaction: Transaction,
        patience_seconds: float,
        give_up: Callable[[Refusal], None],
    ) -> None:
        """
        @param transaction: says how much of the body has come.
        @param patience_seconds: how long the backend may take nothing of it.
        @param give_up: told why this body is not waited for any longer.
        """
        self._wheel = wheel
        self._transaction = transaction
        self._patience_seconds = patience_seconds
        self._give_up = give_up
        self._received = 0
        self._stalled_seconds = 0.0
        self._paused = self._held_up = False
        self._timer = wheel.add(BODY_RATE_WINDOW_SECONDS, self._look)

    def writable(self, writable: bool) -> None:
        """Whether we take more of the body: while we do not, its slowness is not the client's."""
        self._paused = not writable
        if self._paused:
            self._held_up = True

    def stop(self) -> None:
        """The body is complete, or its pace does not matter any more."""
        self._timer.cancel()

    def _look(self) -> None:
        refusal = self._judge()
        if refusal is None:
            self._timer = self._wheel.add(BODY_RATE_WINDOW_SECONDS, self._look)
        else:
            self._give_up(refusal)

    def _judge(self) -> Refusal | None:
        received = self._transaction.bytes_in
        moved, self._received = received - self._received, received
        held_up, self._held_up = self._held_up, self._paused
        if moved >= BODY_RATE_BYTES:
            self._stalled_seconds = 0.0
        elif not held_up:
            return _TOO_SLOW
        else:
            self._stalled_seconds += BODY_RATE_WINDOW_SECONDS
            if self._stalled_seconds > self._patience_seconds:
                return _NOT_TAKEN
        return None
