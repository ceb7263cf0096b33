"""
TCP transports that send at once: what the kernel takes in C{write} needs no
second turn of the reactor, and no two calls of epoll to ask for it.

Only the way of bytes that fit is new. Whatever does not fit, every pause and
every end go the way of Twisted's own transports, whose promises therefore hold.

Not for Twisted's TLS: it announces a close before it aborts, and relies on
that announcement never being sent.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.interfaces import IConnector, IListeningPort, IProducer
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory
from zope.interface import directlyProvides, providedBy

READ_SIZE: Final = 64 * 1024
"""Bytes of one C{recv}. More made TLS on top of it dearer: its buffers left the processor's cache."""


FIRST_READ_SIZE: Final = 8 * 1024
"""Of the first one, and of each after one that brought less: a browser's request is no longer."""

MAXIMUM_PIECES: Final = 64
"""What one C{sendmsg} is given: a megabyte of records, and far less than any kernel's limit."""


class SendsAtOnce:
    """
    Goes before a L{tcp.Connection}.

    Twisted's own methods arm the writer exactly when something waits to be sent, and disarm it when all is
    sent: that is where C{_direct} is kept.
    """

    _direct = True
    _read_size = FIRST_READ_SIZE
    _stays_indirect = False

    def write(self: Any, data: bytes) -> None:
        """Send what the kernel takes now; leave the rest, and every trouble, to Twisted."""
        if self._direct and self.connected:
            try:
                sent = self.socket.send(data)
            except OSError:
                # Full, or broken: the writer will find out, and not in the midst of our caller.
                sent = 0
            if sent == len(data):
                return
            if sent:
                data = data[sent:]
        super().write(data)  # type: ignore[misc]

    def writeSequence(self: Any, iovec: Any) -> None:
        """As L{write}; a few pieces need not be joined for that."""
        if not self._direct or not self.connected or len(iovec) > MAXIMUM_PIECES:
            self.write(b"".join(iovec))
            return
        try:
            sent = self.socket.sendmsg(iovec)
        except OSError:
            sent = 0
        if sent < sum(map(len, iovec)):
            super().write(b"".join(iovec)[sent:])  # type: ignore[misc]

    def doRead(self: Any) -> Any:
        """Hand up what came."""
        try:
            data = self.socket.recv(self._read_size)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        # Room is made for as much as may come: little, until there is much.
        self._read_size = READ_SIZE if len(data) >= FIRST_READ_SIZE else FIRST_READ_SIZE
        self.protocol.dataReceived(data)
        return None

    def startWriting(self: Any) -> None:
        """From now on everything queues behind what waits already."""
        self._direct = False
        super().startWriting()  # type: ignore[misc]

    def stopWriting(self: Any) -> None:
        """Nothing waits any more."""
        self._direct = not self._stays_indirect
        super().stopWriting()  # type: ignore[misc]

    def registerProducer(self: Any, producer: IProducer, streaming: bool) -> None:
        """A pull producer is asked for more whenever the writer ran dry: it needs the writer for all."""
        if not streaming:
            self._go_indirect()
        super().registerProducer(producer, streaming)  # type: ignore[misc]

    def abortConnection(self: Any) -> None:
        """Nothing that is written from now on may leave."""
        super().abortConnection()  # type: ignore[misc]
        self._go_indirect()

    def startTLS(self: Any, contextFactory: Any, normal: bool = True) -> Any:
        """Twisted's TLS then stands between, and puts its own C{write} here."""
        self._go_indirect()
        return super().startTLS(contextFactory, normal)  # type: ignore[misc]

    def _go_indirect(self) -> None:
        self._direct = False
        self._stays_indirect = True


class ImmediateServer(SendsAtOnce, tcp.Server):
    """An accepted connection."""


class ImmediateClient(SendsAtOnce, tcp.Client):
    """A dialled connection."""


class ImmediateConnector(tcp.Connector):
    """Dials with L{ImmediateClient}."""

    def _makeTransport(self) -> ImmediateClient:
        return ImmediateClient(self.host, self.port, self.bindAddress, self, self.reactor)  # type: ignore[no-untyped-call]


def adopt_port(reactor: Any, bound: socket.socket, factory: Factory) -> IListeningPort:
    """As C{reactor.adoptStreamPort}, with L{ImmediateServer} for what is accepted."""
    port = reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
    if isinstance(port, tcp.Port):
        # Nothing was accepted yet: that takes a turn of the reactor.
        port.transport = ImmediateServer
    return port  # type: ignore[no-any-return]


class Dialling:
    """A reactor for endpoints: all its own, but what it connects sends at once."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> IConnector:
        """See L{twisted.internet.interfaces.IReactorTCP.connectTCP}."""
        connector = ImmediateConnector(host, port, factory, timeout, bindAddress, self._reactor)
        connector.connect()
        return connector


def dialling(reactor: Any) -> Any:
    """A reactor whose connections send at once; itself if it does not connect by sockets."""
    return Dialling(reactor) if isinstance(reactor, PosixReactorBase) else reactor
