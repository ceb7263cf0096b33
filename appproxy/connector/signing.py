"""
The sign-on of one exchange, where each request needs its own.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from appproxy.httpwire.block import Blocks
from appproxy.sso.errors import SignOnError
from appproxy.sso.sign_on import Attempt

MAXIMUM_DROPPED_BYTES: Final = 64 * 1024
"""
Of an answer that asks for a sign-on; pages that do are small. With a longer one, a new connection
costs less than to read on.
"""


class Signer(Protocol):
    """Who waits for the sign-on."""

    def sign_on_begins(self) -> None:
        """Whoever measures how long it takes begins now."""

    def signed_on(self) -> None:
        """The request can be sent, or sent again."""

    def not_signed_on(self, problem: SignOnError) -> None:
        """It cannot."""

    def bug(self, failure: Failure) -> None:
        """Our own mistake."""


class SignOnSteps:
    """
    What an exchange and the sign-on of its request ask of each other.

    @ivar dropping: whether the rest of the answer that comes is of no use to the user.
    """

    __slots__ = ("_attempt", "_dropped", "_owner", "_waiting", "dropping")

    def __init__(self, attempt: Attempt, owner: Signer) -> None:
        self._attempt = attempt
        self._owner = owner
        self._waiting: Deferred[None] | None = None
        self._dropped = 0
        self.dropping = False

    def begin(self) -> None:
        """Sign on, for the next time that the request is sent."""
        self.dropping = False
        self._dropped = 0
        self._owner.sign_on_begins()
        try:
            waiting = self._attempt.prepare()
        except SignOnError as problem:
            self._owner.not_signed_on(problem)
            return
        if waiting is None:
            self._owner.signed_on()
            return
        self._waiting = waiting
        waiting.addCallbacks(self._prepared, self._not_prepared).addErrback(self._owner.bug)

    def cancel(self) -> None:
        """Nobody waits any more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def answered(self, status: int, headers: Blocks) -> Blocks | None:
        """
        The application's final answer, or its 101.

        @return: what the user may see of its headers; L{None} if it only asks for a sign-on, which is
            to L{begin} once the rest of it was dropped.
        @raise SignOnError: if it must not reach the user.
        """
        if self._attempt.answered(status, headers):
            self.dropping = True
            return None
        return self._attempt.passed(headers)

    def drop(self, data: bytes) -> bool:
        """
        Some of an answer that is of no use.

        @return: whether that was enough of it.
        """
        self._dropped += len(data)
        return self._dropped > MAXIMUM_DROPPED_BYTES

    def _prepared(self, _nothing: None) -> None:
        self._waiting = None
        self._owner.signed_on()

    def _not_prepared(self, failure: Failure) -> None:
        cancelled, self._waiting = self._waiting is None, None
        if cancelled and failure.check(CancelledError, SignOnError):
            return
        failure.trap(SignOnError)
        assert isinstance(failure.value, SignOnError)
        self._owner.not_signed_on(failure.value)
