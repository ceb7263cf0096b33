"""
What every TLS layer has above it, and what a layer has to offer.

Listener and dialer know L{TlsLayer} only: which one stands there, a setting says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IHandshakeListener, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from appproxy.bare import BareProtocol
from appproxy.transport.contexts import ClientContext, ServerContext

MAXIMUM_WRITE: Final = 64 * 1024
"""The largest sensible write: beyond it, Twisted's TLS gets several times slower."""

LINGER_SECONDS: Final = 30.0
"""From our close to the peer's answer to it: time for the last 128 KiB on a line of 5 KB/s, not for ever."""

_VERIFY_PROBLEMS: Final = {
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    18: "self_signed_certificate",
    19: "unknown_authority",
    20: "unknown_authority",
    21: "unknown_authority",
    22: "chain_too_long",
    24: "invalid_authority",
    26: "certificate_of_another_purpose",
    66: "key_too_small",
    67: "authority_key_too_small",
    68: "digest_too_weak",
}
"""What OpenSSL's verify codes (C{x509_vfy.h}) are called in logs."""


def verify_problem(code: int) -> str:
    """One of OpenSSL's verify codes in a word."""
    return _VERIFY_PROBLEMS.get(code, f"certificate_refused_{code}")


class Verdict:
    """
    OpenSSL's verify callback: its judgement stands, its reason is kept.

    An object of its own, since pyOpenSSL keeps it in a reference cycle after the connection is gone.

    @ivar problem: why the certificate was refused; empty if it was not.
    """

    __slots__ = ("problem",)

    def __init__(self) -> None:
        self.problem = ""

    def __call__(self, _connection: object, _certificate: object, error: int, _depth: int, good: int) -> bool:
        """Judge one certificate of the chain as OpenSSL did."""
        if not good and not self.problem:
            self.problem = verify_problem(error)
        return bool(good)


def _nobody_asks(_reason: Failure, _problem: str) -> None:
    """What is lost after the handshake is the application's affair."""


class Handshaking(BareProtocol):
    """
    Stands on a TLS layer until its handshake is over; then the application's protocol
    is built and connected, which therefore never sees an unchecked peer.

    @ivar application: the application's protocol, once it has its transport. What comes from then on, the end
        included, concerns it alone, so that a layer may hand it over directly.
    @ivar verdict: for the TLS layer to note in why it refused the peer's certificate.
    """

    application: IProtocol | None = None

    def __init__(
        self,
        completed: Callable[[Any], IProtocol | None],
        failed: Callable[[Failure, str], None],
        connected: Callable[[IProtocol], None] | None = None,
    ) -> None:
        """
        @param completed: takes the TLS transport when the handshake is over; L{None} as its answer aborts.
        @param failed: told if the connection ends before; with the verdict's problem.
        @param connected: told when the protocol that C{completed} gave has its transport.
        """
        self.verdict = Verdict()
        self._completed: Callable[[Any], IProtocol | None] | None = completed
        self._failed = failed
        self._connected = connected

    def handshakeCompleted(self) -> None:
        """Let the application's protocol take over, or hang up."""
        transport: Any = self.transport
        above = self._completed(transport) if self._completed is not None else None
        if above is None:
            transport.abortConnection()
            return
        self.application = above
        above.makeConnection(transport)
        if self._connected is not None:
            self._connected(above)
        self._forget()

    def dataReceived(self, data: bytes) -> None:
        """Hand decrypted bytes up."""
        if self.application is not None:
            self.application.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever is interested by now."""
        above, self.application = self.application, None
        if above is not None:
            above.connectionLost(reason)
        else:
            self._failed(reason, self.verdict.problem)
        self._forget()

    def _forget(self) -> None:
        """Break reference cycles: a closed connection goes at once, not when the collector comes."""
        self._completed = self._connected = None
        self._failed = _nobody_asks


classImplements(Handshaking, IHandshakeListener)


class TlsLayer(Protocol):
    """
    Puts TLS between a byte transport and a L{Handshaking}.

    The transport that C{Handshaking} gets has, beside ITransport and producer methods, C{negotiatedProtocol},
    C{getPeerCertificate} and C{getHandle}; its C{write} takes at most L{MAXIMUM_WRITE} bytes at a time.
    """

    immediate: bool
    """Whether the transport below should send at once (see C{immediate}); if not, it must not."""

    def prepare(self, context: ServerContext | ClientContext) -> None:
        """
        Make now what the context needs.

        @raise BadCertificate: if it cannot be used.
        """

    def server(self, context: ServerContext, above: Handshaking) -> IProtocol:
        """The protocol to connect to an accepted transport."""

    def client(self, context: ClientContext, above: Handshaking) -> IProtocol:
        """The protocol to connect to a dialled transport."""
