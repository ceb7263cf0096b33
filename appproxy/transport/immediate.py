"""
TCP transports that send at once: what the kernel takes in C{write} needs no
second turn of the reactor, and no two calls of epoll to ask for it.

Only the way of bytes is new: what leaves at once, and what waits until there is
room again. Every pause and every end go the way of Twisted's own transports,
whose promises therefore hold.

Not for Twisted's TLS: it announces a close before it aborts, and relies on
that announcement never being sent.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IConnector, IListeningPort, IProducer
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from appproxy.bare import BareProtocol
from appproxy.transport.wire import Wire


class SendsAtOnce:
    """
    Goes before a L{tcp.Connection}.

    Twisted's own methods arm the writer exactly when something waits to be sent, and disarm it when all is
    sent: that is what the wire is told.
    """

    def __init__(self: Any, *arguments: Any) -> None:
        self.wire = Wire()
        super().__init__(*arguments)

    def hand_up_to(self: Any, receiver: BareProtocol) -> None:
        """What comes is for this protocol alone: whatever stands in between would only pass it on."""
        self._lay_wire()
        self.wire.hand_up_to(receiver)
        self.doRead = self.wire.read

    def write(self: Any, data: bytes) -> None:
        """Send what the kernel takes now. Only the first one comes here."""
        if self.connected:
            self._lay_wire()
            self.write(data)

    def writeSequence(self: Any, iovec: Any) -> None:
        """As L{write}."""
        if self.connected:
            self._lay_wire()
            self.writeSequence(iovec)

    def _lay_wire(self: Any) -> None:
        self.wire.begin(self.socket, self._waits, super().write)  # type: ignore[misc]
        self.write, self.writeSequence = self.wire.write, self.wire.write_sequence

    def _waits(self: Any, size: int) -> None:
        if size > self.bufferSize and self.producer is not None and self.streamingProducer:
            self.producerPaused = True
            self.producer.pauseProducing()
        self.startWriting()

    def doWrite(self: Any) -> Any:
        """Send what waits on the wire; when that is all, go on as Twisted does with an empty queue."""
        try:
            dry = self.wire.drain()
        except OSError:
            return CONNECTION_LOST
        return super().doWrite() if dry else None  # type: ignore[misc]

    def writeSomeData(self: Any, data: bytes) -> Any:
        """Twisted also writes when it only looks whether its queue is empty."""
        return super().writeSomeData(data) if data else 0  # type: ignore[misc]

    def startReading(self: Any) -> None:
        """The protocol wants what comes."""
        self.wire.reading = True
        super().startReading()  # type: ignore[misc]

    def stopReading(self: Any) -> None:
        """It wants nothing for now, not even in the midst of a turn."""
        self.wire.reading = False
        super().stopReading()  # type: ignore[misc]

    def startWriting(self: Any) -> None:
        """From now on everything queues behind what waits already."""
        self.wire.direct = False
        super().startWriting()  # type: ignore[misc]

    def stopWriting(self: Any) -> None:
        """Nothing waits any more."""
        self.wire.dry()
        super().stopWriting()  # type: ignore[misc]

    def registerProducer(self: Any, producer: IProducer, streaming: bool) -> None:
        """A pull producer is asked for more whenever the writer ran dry: it needs the writer for all."""
        if not streaming:
            self.wire.bar()
        super().registerProducer(producer, streaming)  # type: ignore[misc]

    def loseWriteConnection(self: Any) -> None:
        """What is written from now on leaves only if the half is not closed yet: Twisted knows."""
        self.wire.bar()
        super().loseWriteConnection()  # type: ignore[misc]

    def abortConnection(self: Any) -> None:
        """Nothing that is written from now on may leave."""
        super().abortConnection()  # type: ignore[misc]
        self.wire.bar()

    def startTLS(self: Any, contextFactory: Any, normal: bool = True) -> Any:
        """Twisted's TLS then stands between, and puts its own C{write} here."""
        self.wire.bar()
        self.__dict__.pop("doRead", None)
        return super().startTLS(contextFactory, normal)  # type: ignore[misc]

    def connectionLost(self: Any, reason: Failure) -> None:
        """Whatever its protocol still writes goes nowhere."""
        self.wire.end()
        super().connectionLost(reason)  # type: ignore[misc]


class ImmediateServer(SendsAtOnce, tcp.Server):
    """An accepted connection."""


class ImmediateClient(SendsAtOnce, tcp.Client):
    """A dialled connection."""


class ImmediateConnector(tcp.Connector):
    """Dials with L{ImmediateClient}."""

    def _makeTransport(self) -> ImmediateClient:
        return ImmediateClient(self.host, self.port, self.bindAddress, self, self.reactor)


def adopt_port(reactor: Any, bound: socket.socket, factory: Factory) -> IListeningPort:
    """As C{reactor.adoptStreamPort}, with L{ImmediateServer} for what is accepted."""
    accepted: Any = ImmediateServer
    port = reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
    if isinstance(port, tcp.Port):
        # Nothing was accepted yet: that takes a turn of the reactor.
        port.transport = accepted
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
