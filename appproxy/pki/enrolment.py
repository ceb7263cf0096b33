"""
Enrolment over the network: the edge's side as a protocol.

The newcomer's side is L{appproxy.pki.enrolment_client}, named here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.pki.enrolment_client import EnrolmentFailed, WrongAuthority, enroll
from appproxy.pki.enrolment_messages import (
    ALPN,
    DEADLINE,
    BadMessage,
    EnrolmentAnswer,
    EnrolmentRefused,
    EnrolmentRequest,
    MessageReader,
    decode_request,
    encode_answer,
    encode_refusal,
)

__all__ = [
    "ALPN",
    "EnrolmentAnswer",
    "EnrolmentFactory",
    "EnrolmentFailed",
    "EnrolmentProtocol",
    "EnrolmentRefused",
    "EnrolmentRequest",
    "WrongAuthority",
    "enroll",
]

MAXIMUM_ENROLMENTS: Final = 64
"""At one time. Strangers can reach this port; connectors enrol once in their life."""

_log = Logger()

Redeem = Callable[[EnrolmentRequest], Deferred[EnrolmentAnswer]]


class EnrolmentProtocol(Protocol):
    """One newcomer's request, answered once."""

    def __init__(self, enrolments: EnrolmentFactory) -> None:
        self._enrolments = enrolments
        self._reader = MessageReader()
        self._is_asked = False
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the one deadline that all of it has."""
        self._deadline = self._enrolments.clock.callLater(DEADLINE, self._abort)
        self._enrolments.running += 1
        if self._enrolments.running > MAXIMUM_ENROLMENTS:
            self._abort()

    def dataReceived(self, data: bytes) -> None:
        """Collect the request; answer it when it is whole."""
        try:
            message = None if self._is_asked else self._reader.feed(data)
            if message is None:
                return
            request = decode_request(message)
        except BadMessage as error:
            _log.warn("{event}: bad message: {reason}", event="enrolment_refused", reason=error, fault="peer")
            self._abort()
            return
        self._is_asked = True
        answered = self._enrolments.redeem(request).addCallbacks(encode_answer, _refusal)
        answered.addCallback(self._finish).addErrback(self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the deadline."""
        self._enrolments.running -= 1
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _finish(self, message: bytes) -> None:
        if self.transport is not None and self.connected:
            self.transport.write(message)
            self.transport.loseConnection()

    def _failed(self, failure: Failure) -> None:
        _log.failure("an enrolment's answer failed", failure, event="enrolment_failed", fault="ours")
        self._abort()

    def _abort(self) -> None:
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()


class EnrolmentFactory(Factory):
    """
    Makes the edge's side for each newcomer, a bounded number at one time.

    @ivar redeem: L{appproxy.pki.join.redeem} with its authority.
    @ivar running: how many enrol right now.
    """

    noisy = False

    def __init__(self, redeem: Redeem, clock: IReactorTime) -> None:
        self.redeem = redeem
        self.clock = clock
        self.running = 0

    def buildProtocol(self, addr: IAddress | None = None) -> Protocol:
        """The protocol of one connection."""
        return EnrolmentProtocol(self)


def _refusal(failure: Failure) -> bytes:
    error = failure.value
    if not isinstance(error, EnrolmentRefused):
        _log.failure("an enrolment failed", failure, event="enrolment_failed", fault="ours")
        return encode_refusal("unavailable")
    _log.warn("{event}: {reason}", event="enrolment_refused", reason=error.reason, fault="peer")
    return encode_refusal(error.reason)
