"""
TLS by Twisted's own L{TLSMemoryBIOProtocol}: slower than ours, and the one to
fall back on.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from appproxy.transport.addresses import is_address
from appproxy.transport.contexts import ClientContext, ServerContext
from appproxy.transport.handshaking import LINGER_SECONDS, Handshaking
from appproxy.transport.openssl_forms import form_of


class StockTls:
    """Twisted's L{TLSMemoryBIOProtocol} over pyOpenSSL."""

    immediate = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def prepare(self, context: ServerContext | ClientContext) -> None:
        """See L{TlsLayer.prepare}."""
        form_of(context)

    def server(self, context: ServerContext, above: Handshaking) -> IProtocol:
        """See L{TlsLayer.server}."""
        return self._layer(_ServerSide(context), False, above)

    def client(self, context: ClientContext, above: Handshaking) -> IProtocol:
        """See L{TlsLayer.client}."""
        return self._layer(_ClientSide(context), True, above)

    def _layer(self, creator: Any, is_client: bool, above: Handshaking) -> IProtocol:
        factory = TLSMemoryBIOFactory(creator, is_client, Factory(), self._clock)
        # Not the factory's own choice of protocol, which delays every write by a turn: ours gather theirs.
        return _Closing(factory, above, self._clock)


class _Closing(TLSMemoryBIOProtocol):
    """Waits for the peer's end of a close, but not for ever: a silent one would keep the connection."""

    _linger: IDelayedCall | None = None
    _produced = False

    def __init__(self, factory: TLSMemoryBIOFactory, above: IProtocol, clock: IReactorTime) -> None:
        super().__init__(factory, above)  # type: ignore[no-untyped-call]
        self._clock = clock

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._produced = True
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]

    def unregisterProducer(self) -> None:
        self._produced = False
        super().unregisterProducer()  # type: ignore[no-untyped-call]
        if self.disconnecting:
            self._wait_for_end()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        below: Any = self.transport
        if self.connected and below.disconnecting and self._linger is None:
            # The peer announced its end; if it reads no more, what waits to leave would wait for ever.
            self._linger = self._clock.callLater(LINGER_SECONDS, self.abortConnection)

    def loseConnection(self) -> None:
        super().loseConnection()  # type: ignore[no-untyped-call]
        self._wait_for_end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _wait_for_end(self) -> None:
        # While a producer is there the close has not begun.
        if self._linger is None and self.connected and not self._produced:
            self._linger = self._clock.callLater(LINGER_SECONDS, self.abortConnection)


@implementer(IOpenSSLServerConnectionCreator)
class _ServerSide:
    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(form_of(self._context), None)
        if self._context.client_roles:
            mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            connection.set_verify(mode, tlsProtocol.wrappedProtocol.verdict)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _ClientSide:
    def __init__(self, context: ClientContext) -> None:
        self._context = context

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(form_of(self._context), None)
        if self._context.verify:
            connection.set_verify(SSL.VERIFY_PEER, tlsProtocol.wrappedProtocol.verdict)
        if not is_address(self._context.host):
            # An address is no server name (RFC 6066, section 3).
            connection.set_tlsext_host_name(self._context.host.encode("ascii"))
        return connection
