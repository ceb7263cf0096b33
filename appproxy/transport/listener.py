"""Accept connections, with TLS or without, within the limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocol,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from appproxy.transport.addresses import BACKLOG, ListenAddress
from appproxy.transport.balanced import BalancedFactory, Networks
from appproxy.transport.exhaustion import watch_over
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.immediate import adopt_port
from appproxy.transport.limit import ConnectionLimit
from appproxy.transport.peeking import Choose, PeekingFactory
from appproxy.transport.socket_options import prepare_transport
from appproxy.transport.stock_tls import StockTls


class _Counted(Protocol):
    """A plain connection that leaves the limit when it ends."""

    transport: Any

    def __init__(self, above: IProtocol, peer: IAddress, limit: ConnectionLimit) -> None:
        self._above = above
        self._peer = peer
        self._limit = limit
        if IHalfCloseableProtocol.providedBy(above):
            directlyProvides(self, IHalfCloseableProtocol)

    def connectionMade(self) -> None:
        prepare_transport(self.transport)
        self._above.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._above.dataReceived(data)

    def readConnectionLost(self) -> None:
        IHalfCloseableProtocol(self._above).readConnectionLost()

    def writeConnectionLost(self) -> None:
        IHalfCloseableProtocol(self._above).writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._limit.leave(self._peer)
        self._above.connectionLost(reason)


class PlainFactory(Factory):
    """Builds protocols for connections without TLS, within the limit."""

    noisy = False

    def __init__(self, build: Callable[[IAddress], IProtocol | None], limit: ConnectionLimit) -> None:
        self._build = build
        self._limit = limit

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A protocol, or L{None}, upon which the connection is closed."""
        assert addr is not None, "an accepted connection has a peer"
        if not self._limit.admit(addr):
            self._limit.refuse(addr)
            return None
        above = self._build(addr)
        if above is None:
            self._limit.leave(addr)
            return None
        return _Counted(above, addr, self._limit)


def listen(
    reactor: Any,
    address: ListenAddress,
    choose: Choose,
    clock: IReactorTime,
    *,
    tls: TlsLayer | None = None,
    limit: ConnectionLimit | None = None,
    balancers: Networks = (),
    share: bool = False,
) -> Deferred[list[IListeningPort]]:
    """
    Accept TLS connections.

    @param tls: the layer to use; Twisted's own by default.
    @param limit: shared with other listeners where it should count for all.
    @param balancers: who has to say whose connection it is, and is believed (L{appproxy.transport.balanced}).
    @param share: let other processes bind the same port.
    @return: fires with the ports; fails with L{CannotListenError}.
    """
    layer = tls or StockTls(clock)
    factory: Factory = PeekingFactory(choose, clock, layer, limit or ConnectionLimit(clock))
    if balancers:
        factory = BalancedFactory(factory, balancers, clock)
    return execute(_open, reactor, address, factory, 0o600, share, immediate=layer.immediate)


def listen_plain(
    reactor: Any,
    address: ListenAddress,
    build: Callable[[IAddress], IProtocol | None],
    *,
    limit: ConnectionLimit | None = None,
    balancers: Networks = (),
    mode: int = 0o660,
    share: bool = False,
) -> Deferred[list[IListeningPort]]:
    """
    Accept connections without TLS.

    @param build: makes a protocol for a peer; L{None} hangs up. A C{Factory.buildProtocol} fits.
    @param balancers: as in L{listen}.
    @param mode: permissions of a Unix socket.
    @return: fires with the ports; fails with L{CannotListenError}.
    """
    factory: Factory = PlainFactory(build, limit or ConnectionLimit(reactor))
    if balancers:
        factory = BalancedFactory(factory, balancers, reactor)
    return execute(_open, reactor, address, factory, mode, share)


def _open(
    reactor: Any,
    address: ListenAddress,
    factory: Factory,
    mode: int,
    share: bool,
    *,
    immediate: bool = False,
) -> list[IListeningPort]:
    try:
        if address.kind == "unix":
            address.remove_stale_socket()
            return [reactor.listenUNIX(address.host, factory, BACKLOG, mode)]
        sockets = address.listen_sockets(share=share)
    except OSError as error:
        explained = address.explained(error, os.environ, os.getpid())
        raise CannotListenError(address.host, address.port, explained) from error
    ports = []
    for bound in sockets:
        with bound:
            if immediate:
                ports.append(adopt_port(reactor, bound, factory))
            else:
                ports.append(reactor.adoptStreamPort(bound.fileno(), bound.family, factory))
    for port in ports:
        watch_over(port, reactor)
    return ports
