"""
Connections in memory that behave as Twisted's on a socket do: producers, pausing,
half-closing, orderly and sudden ends.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure

BUFFER: Final = 64 * 1024
"""What a transport holds before its producer is told to pause, as Twisted's does."""

READ: Final = 64 * 1024
"""What one read brings."""

MAXIMUM_TURNS: Final = 100_000


class MemoryTransport:
    """
    One end of a connection.

    @ivar waiting: bytes that the other side has not taken yet.
    @ivar most_waiting: the most that ever waited.
    @ivar reading: whether this side takes what comes.
    """

    def __init__(self, protocol: IProtocol, address: str, handle: object = None) -> None:
        self.protocol = protocol
        self.waiting = bytearray()
        self.most_waiting = 0
        self.reading = True
        self.disconnecting = False
        self.disconnected = False
        self._address = address
        self._handle = handle
        self._producer: IPushProducer | None = None
        self._producer_paused = False
        self._ends: str = ""
        self._end_told = False
        self.peer: MemoryTransport

    # -- ITransport

    def write(self, data: bytes) -> None:
        """Queue bytes; a full buffer pauses the producer."""
        if self._ends or self.disconnected:
            return
        assert isinstance(data, bytes)
        self.waiting += data
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        if len(self.waiting) > BUFFER and self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, pieces: Any) -> None:
        """Queue bytes."""
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        """Close once everything was taken."""
        self.disconnecting = True
        self._ends = self._ends or "close"

    def loseWriteConnection(self) -> None:
        """Close this side's direction once everything was taken."""
        self._ends = self._ends or "half"

    def abortConnection(self) -> None:
        """Close now; what waits is dropped."""
        self.disconnecting = True
        self._ends = "abort"

    def getPeer(self) -> IPv4Address:
        """Where the other side is."""
        return IPv4Address("TCP", self.peer._address, 50_000)

    def getHost(self) -> IPv4Address:
        """Where this side is."""
        return IPv4Address("TCP", self._address, 443)

    def getHandle(self) -> object:
        """For who asks about certificates."""
        return self._handle

    # -- producers

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Be asked to pause and resume it."""
        assert streaming and self._producer is None
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Ask it no more."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Take nothing for now."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Take what comes."""
        if not self.disconnected:
            self.reading = True

    # -- for the network

    def step(self) -> bool:
        """Move what can be moved; says whether anything was."""
        if self.disconnected:
            return False
        if self._ends == "abort":
            self.waiting.clear()
            self._end(Failure(ConnectionAborted()), Failure(ConnectionLost()))
            return True
        if self.waiting and self.peer.reading and not self.peer.disconnected:
            data = bytes(self.waiting[:READ])
            del self.waiting[:READ]
            self.peer.protocol.dataReceived(data)
            if not self.waiting and self._producer is not None and self._producer_paused:
                self._producer_paused = False
                self._producer.resumeProducing()
            return True
        if self._ends and not self.waiting and not self._end_told and self.peer.reading:
            self._end_told = True
            if self._ends == "close":
                self._end(Failure(ConnectionDone()), Failure(ConnectionDone()))
            elif IHalfCloseableProtocol.providedBy(self.peer.protocol):
                IHalfCloseableProtocol(self.peer.protocol).readConnectionLost()
            else:
                self._end(Failure(ConnectionDone()), Failure(ConnectionDone()))
            return True
        return False

    def _end(self, mine: Failure, theirs: Failure) -> None:
        for side, reason in ((self, mine), (self.peer, theirs)):
            if not side.disconnected:
                side.disconnected = True
                side._producer = None
                side.waiting.clear()
                side.protocol.connectionLost(reason)


class Network:
    """
    All connections of a test, and its clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._transports: list[MemoryTransport] = []

    def connect(
        self,
        dialled: IProtocol,
        accepted: IProtocol,
        address: str = "192.0.2.7",
        handle: object = None,
    ) -> tuple[MemoryTransport, MemoryTransport]:
        """
        Join two protocols.

        @param address: of who dials.
        @param handle: what the accepting side's C{getHandle} gives.
        """
        near, far = MemoryTransport(dialled, address), MemoryTransport(accepted, "203.0.113.1", handle)
        near.peer, far.peer = far, near
        self._transports += (near, far)
        for protocol, transport in ((accepted, far), (dialled, near)):
            either: Any = transport
            protocol.makeConnection(either)
        return near, far

    def run(self) -> None:
        """Until nothing moves any more, without letting time pass."""
        for _ in range(MAXIMUM_TURNS):
            moved = False
            for transport in list(self._transports):
                moved = transport.step() or moved
            if self._due():
                self.clock.advance(0)
                moved = True
            if not moved:
                self._transports = [each for each in self._transports if not each.disconnected]
                return
        raise AssertionError("the network does not come to rest")

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, with everything moving."""
        whole, rest = divmod(seconds, 1.0)
        for step in [1.0] * int(whole) + [rest]:
            self.clock.advance(step)
            self.run()

    def _due(self) -> bool:
        now = self.clock.seconds()
        return any(call.getTime() <= now for call in self.clock.getDelayedCalls())
