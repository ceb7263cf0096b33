"""
Tests of L{appproxy.transport.immediate}: what Twisted's own transports promise, held against both.
"""

from __future__ import annotations

import gc
import inspect
import socket
import sys
import weakref
from typing import Any

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from appproxy.bare import BareProtocol
from appproxy.transport.addresses import HostPort
from appproxy.transport.dialer import tcp_endpoint
from appproxy.transport.immediate import ImmediateClient, ImmediateServer, adopt_port, dialling
from appproxy.transport.wire import FIRST_READ_SIZE
from tests.transport.support import Recorder, run_reactor

MIB = 1 << 20


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """Notes half closes."""

    halves = ""

    def readConnectionLost(self) -> None:
        """Note it."""
        self.halves += "r"

    def writeConnectionLost(self) -> None:
        """Note it."""
        self.halves += "w"


@implementer(IHalfCloseableProtocol)
class Bare(BareProtocol):
    """The same, standing on nothing but L{BareProtocol}."""

    received = b""
    halves = ""
    made = False
    lost: Failure | None = None

    def connectionMade(self) -> None:
        """Note it."""
        self.made = True

    def dataReceived(self, data: bytes) -> None:
        """Keep them."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note why."""
        self.lost = reason

    def readConnectionLost(self) -> None:
        """Note it."""
        self.halves += "r"

    def writeConnectionLost(self) -> None:
        """Note it."""
        self.halves += "w"


class Pushes:
    """Writes until it is paused, or has written all."""

    def __init__(self, transport: Any, size: int) -> None:
        self.transport = transport
        self.left = size
        self.pauses = 0
        self.stopped = self.running = False

    def resumeProducing(self) -> None:
        """Write on."""
        self.running = True
        while self.running and self.left:
            self.left -= 65536
            self.transport.write(b"x" * 65536)
        if not self.left and self.running:
            self.running = False
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Wait."""
        self.pauses += 1
        self.running = False

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.stopped = True
        self.running = False


class Pulled:
    """Writes one piece whenever it is asked."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces

    def resumeProducing(self) -> None:
        """One more."""
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection is gone."""


class StockTransportTests(SynchronousTestCase):
    """
    An accepted connection, turn by turn.

    @cvar immediate: which kind of port accepts it.
    @cvar kind: what stands on it.
    """

    immediate = False
    kind: type[HalfCloseable | Bare] = HalfCloseable

    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.protocol = self.kind()
        factory: Any = Factory.forProtocol(lambda: self.protocol)
        factory.noisy = False
        with socket.create_server(("127.0.0.1", 0)) as bound:
            bound.setblocking(False)
            address = bound.getsockname()
            if self.immediate:
                port: Any = adopt_port(self.reactor, bound, factory)
            else:
                port = self.reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
        self.addCleanup(self.close_reactor)
        self.peer = socket.create_connection(address, 10)
        self.addCleanup(self.peer.close)
        while not self.protocol.made:
            self.reactor.iterate(0.01)
        port.stopListening()
        self.transport: Any = self.protocol.transport

    def close_reactor(self) -> None:
        """Nothing of it survives the test."""
        for reader in self.reactor.removeAll():
            close = getattr(reader, "connectionLost", None)
            if close is not None and reader is self.protocol.transport:
                reader.connectionLost(Failure(ConnectionDone()))
        self.reactor._poller.close()

    def turn(self, times: int = 1) -> None:
        """Let the reactor do what is at hand."""
        for _ in range(times):
            self.reactor.iterate(0)

    def read(self, size: int) -> bytes:
        """What the peer gets, while the reactor runs."""
        self.peer.setblocking(False)
        data = bytearray()
        while len(data) < size:
            self.turn()
            try:
                piece = self.peer.recv(size - len(data))
            except BlockingIOError:
                continue
            if not piece:
                break
            data += piece
        return bytes(data)

    def end(self) -> str:
        """How it ends for the peer, and for us."""
        self.peer.setblocking(False)
        while True:
            self.turn()
            try:
                seen = "data" if self.peer.recv(1) else "end"
            except BlockingIOError:
                continue
            except ConnectionResetError:
                seen = "reset"
            return seen

    def until_lost(self) -> Any:
        """Why the connection was lost."""
        while self.protocol.lost is None:
            self.reactor.iterate(0.01)
        return type(self.protocol.lost.value)

    def test_order(self) -> None:
        """Small writes behind large ones arrive behind them, when the kernel is full and when it is not."""
        sent = b""
        for number in range(60):
            data = bytes([number]) * (1 if number % 3 else 700_001)
            self.transport.write(data)
            sent += data
        self.transport.writeSequence([b"la", b"", b"st"])
        sent += b"last"
        self.assertEqual(self.read(len(sent)), sent)
        self.turn()
        self.assertEqual(self.reactor.getWriters(), [])
        self.transport.write(b"more")
        self.assertEqual(self.read(4), b"more")

    def test_sequences(self) -> None:
        """Pieces written together arrive in order: few or many, into a kernel with room, and a full one."""
        sent = b""
        for number in range(40):
            pieces = [
                bytes([number, each % 251]) * (7 + 9_000 * (number % 5)) for each in range(1 + 4 * number)
            ]
            self.transport.writeSequence(pieces)
            sent += b"".join(pieces)
        self.assertEqual(self.read(len(sent)), sent)
        self.turn()
        self.assertEqual(self.reactor.getWriters(), [])
        self.transport.writeSequence([b"mo", b"re"])
        self.assertEqual(self.read(4), b"more")

    def test_push_producer(self) -> None:
        """A peer that does not read pauses the producer; when it reads, all comes."""
        producer = Pushes(self.transport, 64 * MIB)
        self.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.transport.registerProducer, producer, True)
        producer.resumeProducing()
        self.turn(5)
        self.assertFalse(producer.running)
        self.assertGreater(producer.left, 32 * MIB)
        self.assertEqual(len(self.read(64 * MIB)), 64 * MIB)
        self.assertEqual(producer.left, 0)
        self.assertGreater(producer.pauses, 1)

    def test_pull_producer(self) -> None:
        """A producer that waits to be asked is asked until it has no more."""
        pieces = [bytes([number]) * 1000 for number in range(100)]
        self.transport.registerProducer(Pulled(self.transport, pieces[:]), False)
        self.assertEqual(self.read(100_000), b"".join(pieces))
        self.turn(3)
        self.transport.write(b"after")
        self.assertEqual(self.read(5), b"after")

    def test_close(self) -> None:
        """A close comes after what was written, however much, and after the producer."""
        producer = Pushes(self.transport, 8 * MIB)
        self.transport.write(b"y" * MIB)
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.transport.loseConnection()
        self.assertEqual(len(self.read(9 * MIB)), 9 * MIB)
        self.assertEqual(self.end(), "end")
        self.assertIs(self.until_lost(), ConnectionDone)

    def test_close_at_once(self) -> None:
        """A close with nothing to write comes in the next turn, not in the midst of its caller."""
        self.transport.write(b"bye")
        self.transport.loseConnection()
        self.assertIsNone(self.protocol.lost)
        self.assertEqual(self.read(4), b"bye")
        self.assertIs(self.until_lost(), ConnectionDone)
        self.transport.write(b"too late")

    def test_half_close(self) -> None:
        """After our half close the peer has all and its end; it can still write, and we no more."""
        self.transport.write(b"z" * (2 * MIB))
        self.transport.loseWriteConnection()
        self.assertEqual(len(self.read(3 * MIB)), 2 * MIB)
        self.turn(2)
        self.assertEqual(self.protocol.halves, "w")
        self.transport.write(b"lost")
        self.peer.setblocking(True)
        self.peer.sendall(b"reply")
        while self.protocol.received != b"reply":
            self.turn()
        self.assertEqual(self.end(), "end")
        self.peer.shutdown(socket.SHUT_WR)
        while self.protocol.halves != "wr":
            self.turn()
        self.transport.loseConnection()
        self.assertIs(self.until_lost(), ConnectionDone)

    def test_abort(self) -> None:
        """An abort resets, and nothing written after it leaves."""
        self.transport.abortConnection()
        self.transport.write(b"no more")
        self.assertIsNone(self.protocol.lost)
        self.assertEqual(self.end(), "reset")
        self.assertIs(self.until_lost(), ConnectionAborted)

    def test_producer_of_lost(self) -> None:
        """A lost connection stops its producer, and one that comes later."""
        producer = Pushes(self.transport, 64 * MIB)
        self.transport.registerProducer(producer, True)
        self.transport.abortConnection()
        self.until_lost()
        self.assertTrue(producer.stopped)
        late = Pushes(self.transport, MIB)
        self.transport.registerProducer(late, True)
        self.assertTrue(late.stopped)

    def test_broken_by_peer(self) -> None:
        """A write to a connection that the peer broke fails later, and never in the caller."""
        self.transport.pauseProducing()
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()
        for _ in range(3):
            self.transport.write(b"anyone?" * 100)
        self.assertIsNone(self.protocol.lost)
        self.assertIs(self.until_lost(), ConnectionLost)

    def test_peer_closes(self) -> None:
        """The peer's end is an end; what it sent before is read before."""
        self.peer.sendall(b"q" * 300_000)
        self.peer.close()
        while "r" not in self.protocol.halves:
            self.turn()
        self.assertEqual(len(self.protocol.received), 300_000)
        self.transport.loseConnection()
        self.assertIs(self.until_lost(), ConnectionDone)

    def test_pause_reading(self) -> None:
        """Nothing is read while reading is paused."""
        self.transport.pauseProducing()
        self.peer.sendall(b"wait")
        self.turn(3)
        self.assertEqual(self.protocol.received, b"")
        self.transport.resumeProducing()
        self.turn()
        self.assertEqual(self.protocol.received, b"wait")

    def test_start_tls(self) -> None:
        """What is written once TLS was put on it does not leave in the clear."""
        self.transport.startTLS(CertificateOptions(), False)
        self.transport.write(b"secret")
        hello = self.read(6)
        self.assertEqual(hello[0], 22)
        self.assertNotEqual(hello, b"secret")


class ImmediateTransportTests(StockTransportTests):
    """The same, and what is new."""

    immediate = True

    def test_at_once(self) -> None:
        """What the kernel takes is with the peer before the turn ends, and no writer is armed for it."""
        self.assertIsInstance(self.transport, ImmediateServer)
        self.transport.write(b"now")
        self.assertEqual(self.reactor.getWriters(), [])
        self.peer.settimeout(5)
        self.assertEqual(self.peer.recv(10), b"now")

    def test_empty(self) -> None:
        """Nothing, written to a full kernel, is nothing: no writer waits for it once the rest is gone."""
        self.transport.write(b"x" * (8 * MIB))
        self.transport.write(b"")
        self.transport.writeSequence([b"", b""])
        self.assertEqual(len(self.read(8 * MIB)), 8 * MIB)
        self.turn()
        self.assertEqual(self.reactor.getWriters(), [])

    def test_not_joined(self) -> None:
        """What waits is neither joined nor copied: it stays the very pieces that were written."""
        pieces = [bytes([number]) * MIB for number in range(64)]
        self.transport.writeSequence(pieces)
        before = sys.getrefcount(pieces[-1])
        self.assertEqual(self.read(64 * MIB), b"".join(pieces))
        self.assertEqual(sys.getrefcount(pieces[-1]), before - 1)

    def test_half_close_while_full(self) -> None:
        """A half close waits for what waits, with what was written behind it; then nothing more leaves."""
        self.transport.write(b"z" * (8 * MIB))
        self.transport.loseWriteConnection()
        self.transport.write(b"behind")
        self.assertEqual(self.read(9 * MIB), b"z" * (8 * MIB) + b"behind")
        self.transport.write(b"lost")
        self.turn(2)
        self.assertIsNone(self.protocol.lost)

    def test_only_the_rest(self) -> None:
        """Of what does not fit, what fits leaves at once; the rest waits for the writer."""
        self.transport.write(b"x" * (32 * MIB))
        self.assertEqual(self.reactor.getWriters(), [self.transport])
        self.peer.settimeout(5)
        self.assertEqual(len(self.peer.recv(65536)), 65536)


class StraightTests(ImmediateTransportTests):
    """The same for a protocol that what is read goes to without a detour."""

    kind = Bare

    def test_past_what_is_between(self) -> None:
        """Who stands in between and passes on is not asked for what comes, but told of the end."""
        between = HalfCloseable()
        self.transport.protocol = between
        self.peer.sendall(b"straight")
        while self.protocol.received != b"straight":
            self.turn()
        self.transport.loseConnection()
        while between.lost is None:
            self.turn()
        self.assertEqual(between.received, b"")

    def test_beginning_and_rest(self) -> None:
        """What came together is handed up in one turn, though its beginning fills the first, small read."""
        self.peer.sendall(b"a" * 60_000)
        self.turn()
        self.assertEqual(self.protocol.received, b"a" * 60_000)
        self.peer.sendall(b"b" * FIRST_READ_SIZE)
        self.turn()
        self.assertEqual(self.protocol.received[60_000:], b"b" * FIRST_READ_SIZE)

    def test_pause_in_the_midst(self) -> None:
        """A protocol that pauses gets nothing more in the same turn, whatever came."""
        pauses: Any = self.protocol
        received = pauses.dataReceived

        class Pauses(Bare):
            def dataReceived(self, data: bytes) -> None:
                received(data)
                pauses.transport.pauseProducing()

        self.transport.hand_up_to(Pauses())
        self.peer.sendall(b"a" * 60_000)
        self.turn(3)
        self.assertEqual(len(pauses.received), FIRST_READ_SIZE)
        self.transport.resumeProducing()
        self.turn()
        self.assertGreater(len(pauses.received), FIRST_READ_SIZE)

    def test_abort_while_reading(self) -> None:
        """After an abort nothing more is handed up, though it came."""
        self.peer.sendall(b"x")
        self.peer.sendall(b"y" * 100_000)
        while not self.protocol.received:
            self.turn()
        received = self.protocol.received
        self.transport.abortConnection()
        self.assertIs(self.until_lost(), ConnectionAborted)
        self.assertEqual(self.protocol.received, received)

    def test_nothing_is_kept(self) -> None:
        """Once it is lost, transport and protocol refer to one another no more: no collector is needed."""
        there = weakref.ref(self.protocol)
        self.transport.loseConnection()
        self.until_lost()
        self.transport.write(b"too late")
        self.transport.writeSequence([b"too", b"late"])
        gc.disable()
        self.addCleanup(gc.enable)
        self.protocol.transport = None
        self.protocol = Bare()
        self.assertIsNone(there())


class DiallingTests(SynchronousTestCase):
    """L{dialling}."""

    def test_endpoints(self) -> None:
        """Twisted's endpoints dial through it, by name and by address, and fail as ever."""
        reactor = EPollReactor()
        kinds: list[type] = []

        async def main() -> None:
            echo: Any = Factory.forProtocol(lambda: Recorder(echo=True))
            port = reactor.listenTCP(0, echo, interface="127.0.0.1")
            number = port.getHost().port
            below = dialling(reactor)
            for endpoint in (
                tcp_endpoint(below, HostPort("localhost", number)),
                TCP4ClientEndpoint(below, "127.0.0.1", number),
            ):
                client = await connectProtocol(endpoint, Recorder())
                client.transport.write(b"x")
                await client.until_received(1)
                kinds.append(type(client.transport))
                client.transport.loseConnection()
                await client.until_lost()
            await port.stopListening()

        run_reactor(reactor, main)
        self.assertEqual(kinds, [ImmediateClient] * 2)

    def test_in_memory(self) -> None:
        """A reactor that has no sockets is left as it is."""
        reactor = MemoryReactorClock()
        self.assertIs(dialling(reactor), reactor)


class NamesOfTwistedTests(SynchronousTestCase):
    """What is used of Twisted without being promised is still there, and means the same."""

    def test_port(self) -> None:
        """A port makes the transport of a connection by its attribute C{transport}."""
        self.assertIs(tcp.Port.transport, tcp.Server)
        self.assertIn("self.transport(", inspect.getsource(tcp.Port.doRead))

    def test_connector(self) -> None:
        """A connector makes its transport in C{_makeTransport}, as ours does."""
        self.assertIn("self._makeTransport()", inspect.getsource(tcp.Connector.connect))
        theirs = inspect.getsource(tcp.Connector._makeTransport)
        self.assertIn("Client(self.host, self.port, self.bindAddress, self, self.reactor)", theirs)
        self.assertEqual(
            list(inspect.signature(tcp.Connector).parameters),
            ["host", "port", "factory", "timeout", "bindAddress", "reactor"],
        )

    def test_reader(self) -> None:
        """What reads is a transport's C{doRead}, which an abort puts out of the way."""
        self.assertIn("self.doRead = ", inspect.getsource(tcp.Connection.abortConnection))
        self.assertIn("self.protocol.dataReceived(data)", inspect.getsource(tcp.Connection._dataReceived))
        source = inspect.getsource(tcp.Client._connectDone)
        self.assertLess(
            source.index("self.connected = 1"), source.index("self.protocol.makeConnection(self)")
        )
        source = inspect.getsource(tcp.Client.doConnect)
        self.assertLess(source.index("del self.doRead"), source.index("self._connectDone()"))

    def test_ends(self) -> None:
        """A transport whose protocol hears of the end is connected no more, and has stopped its writer."""
        source = inspect.getsource(FileDescriptor.connectionLost)
        self.assertLess(source.index("self.connected = 0"), source.index("self.stopWriting()"))
        source = inspect.getsource(tcp.Connection.connectionLost)
        self.assertLess(
            source.index("FileDescriptor.connectionLost"), source.index("protocol.connectionLost")
        )

    def test_writer(self) -> None:
        """A write that queues arms the writer; one that sent the last byte disarms it first of all."""
        self.assertIn("self.startWriting()", inspect.getsource(FileDescriptor.write))
        source = inspect.getsource(tcp.Connection.doWrite)
        empty = source.index("if self.offset == len(self.dataBuffer) and not self._tempDataLen:")
        stops = source.index("self.stopWriting()")
        self.assertLess(empty, stops)
        for later in ("resumeProducing()", "_postLoseConnection()", "_closeWriteConnection()"):
            self.assertLess(stops, source.index(later))
