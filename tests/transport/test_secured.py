"""
What every TLS layer does with bytes, ends and hostile peers; after the handshake, in memory.
"""

from __future__ import annotations

import ssl
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ISystemHandle, ITransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from appproxy.transport.dialer import loss_reason
from appproxy.transport.secured import MAXIMUM_ANSWERS, RECORD_SIZE
from tests.transport.in_memory import InMemoryCase
from tests.transport.loopback import FastLayer


class Producer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """Note it."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """Note it."""
        self.told.append("stop")


class BytesTests(InMemoryCase):
    """Bytes in order, whatever their number."""

    def test_sizes(self) -> None:
        """Nothing, a byte, a record, and far more than one go up and down whole."""
        for size in (0, 1, 16383, 16384, 16385, 32768, 65536, 65537, 1_000_003):
            data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            self.above.transport.write(data)
            self.assertEqual(self.peer_reads(), (data, "waits"), size)
            self.above.received = b""
            self.peer.write(data) if data else None
            self.send()
            self.assertEqual(self.above.received, data, size)

    def test_many_small_writes(self) -> None:
        """Thousands of small writes arrive in their order."""
        pieces = [b"%d;" % number for number in range(5000)]
        for piece in pieces[:4000]:
            self.above.transport.write(piece)
        self.above.transport.writeSequence(pieces[4000:])
        self.assertEqual(self.peer_reads(), (b"".join(pieces), "waits"))

    def test_kinds_of_bytes(self) -> None:
        """A view of a buffer that changes later is as good as bytes."""
        buffer = bytearray(b"abc" * 30_000)
        self.above.transport.write(bytes(buffer))
        buffer[:] = b"x" * len(buffer)
        self.assertEqual(self.peer_reads()[0], b"abc" * 30_000)

    def test_any_split(self) -> None:
        """Records may be cut anywhere."""

        @settings(max_examples=50, deadline=None)
        @given(st.lists(st.integers(1, 40_000), max_size=20), st.binary(min_size=1, max_size=50))
        def split(cuts: list[int], word: bytes) -> None:
            data = word * (100_000 // len(word))
            self.above.received = b""
            self.peer.write(data)
            wire = self.outgoing.read()
            for cut in cuts:
                if wire:
                    self.protocol.dataReceived(wire[:cut])
                wire = wire[cut:]
            if wire:
                self.protocol.dataReceived(wire)
            self.assertEqual(self.above.received, data)

        split()


class FastBytesTests(FastLayer, BytesTests):
    """The same for our own layer."""

    def test_what_is_wrapped(self) -> None:
        """What C{SSLObject} wraps is where it was: its methods are called past it."""
        tls: Any = self.above.transport.getHandle()
        self.assertTrue(callable(tls._sslobj.read) and callable(tls._sslobj.write))

    def test_one_write_each(self) -> None:
        """One write is one write below, however many its pieces; what is read comes record by record."""
        writes: list[int] = []
        self.transport.write = lambda data: writes.append(len(data))  # type: ignore[method-assign]
        self.transport.writeSequence = lambda pieces: writes.append(len(pieces))  # type: ignore[method-assign]
        self.above.transport.write(b"x" * 10_000)
        self.above.transport.write(b"x" * 60_000)
        self.above.transport.writeSequence([b"x" * 10_000, b"", b"x" * 20_000])
        self.assertEqual(len(writes), 3)
        self.assertEqual(writes[1:], [4, 3])
        pieces: list[int] = []
        self.above.dataReceived = lambda data: pieces.append(len(data))  # type: ignore[method-assign]
        self.peer.write(b"y" * 60_000)
        self.send()
        self.assertEqual(sum(pieces), 60_000)
        self.assertLessEqual(max(pieces), RECORD_SIZE)


class EndTests(InMemoryCase):
    """How connections end."""

    def lost(self, reason: type[Exception] = ConnectionDone) -> type[BaseException] | None:
        """The transport below is gone; what the protocol above heard."""
        self.protocol.connectionLost(Failure(reason()))
        assert self.above.lost is not None
        return self.above.lost.type

    def test_announced(self) -> None:
        """The peer's close is answered, and is an end; what came before it is read first."""
        self.peer.write(b"last words")
        self.assertRaises(ssl.SSLWantReadError, self.peer.unwrap)
        self.send()
        self.assertEqual(self.above.received, b"last words")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.peer_reads(), (b"", "end"))
        self.assertIs(self.lost(), ConnectionDone)

    def test_cut(self) -> None:
        """Without the peer's close an end of the bytes below is a break, whatever came before."""
        self.peer.write(b"x" * 100)
        self.send()
        self.assertIs(self.lost(), ConnectionLost)

    def test_cut_in_a_record(self) -> None:
        """Part of a record is nothing."""
        self.peer.write(b"x" * 100)
        self.protocol.dataReceived(self.outgoing.read()[:-1])
        self.assertEqual(self.above.received, b"")
        self.assertIs(self.lost(), ConnectionLost)

    def test_our_close(self) -> None:
        """Our close is announced behind what was written; the peer's answer makes it an end."""
        self.above.transport.write(b"bye")
        self.above.transport.loseConnection()
        self.above.transport.write(b"too late")
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.peer_reads(), (b"bye", "end"))
        self.peer.unwrap()
        self.send()
        self.assertTrue(self.transport.disconnecting)
        self.assertIs(self.lost(), ConnectionDone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_both_close(self) -> None:
        """Two closes that cross are one end."""
        self.assertRaises(ssl.SSLWantReadError, self.peer.unwrap)
        self.above.transport.loseConnection()
        self.send()
        self.assertTrue(self.transport.disconnecting)
        self.assertIs(self.lost(), ConnectionDone)

    def test_close_while_bytes_come(self) -> None:
        """A close from within the delivery of bytes is announced, though more of them are there."""
        sent = b"x" * 300_000
        self.above.dataReceived = lambda data: self.above.transport.loseConnection()  # type: ignore[method-assign]
        self.peer.write(sent)
        wire = self.outgoing.read()
        self.protocol.dataReceived(wire[:50_000])
        self.protocol.dataReceived(wire[50_000:])
        self.assertEqual(self.peer_reads(), (b"", "end"))
        self.peer.unwrap()
        self.send()
        self.assertIs(self.lost(), ConnectionDone)

    def test_unanswered_close(self) -> None:
        """Our close without the peer's answer ends in a break."""
        self.above.transport.loseConnection()
        self.assertIs(self.lost(), ConnectionLost)

    def test_producers(self) -> None:
        """A close waits for the producer; a connection that is over stops those that come."""
        producer = Producer()
        transport = self.above.transport
        transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, transport.registerProducer, Producer(), True)
        transport.loseConnection()
        transport.write(b"still")
        self.assertEqual(self.peer_reads(), (b"still", "waits"))
        transport.unregisterProducer()
        transport.unregisterProducer()
        self.assertEqual(self.peer_reads(), (b"", "end"))
        self.peer.unwrap()
        self.send()
        late = Producer()
        transport.registerProducer(late, True)
        self.assertEqual((producer.told, late.told), ([], ["stop"]))

    def test_reading_is_paused_below(self) -> None:
        """A pause above is a pause below."""
        self.above.transport.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.above.transport.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_after_the_end(self) -> None:
        """Once it is lost, nothing that the protocol above still does matters."""
        self.lost(ConnectionLost)
        transport = self.above.transport
        self.transport.clear()
        transport.write(b"x")
        transport.writeSequence([b"x"])
        transport.loseConnection()
        late = Producer()
        transport.registerProducer(late, True)
        transport.unregisterProducer()
        self.assertEqual(late.told, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FastEndTests(FastLayer, EndTests):
    """The same for our own layer."""

    def test_abort(self) -> None:
        """An abort is never announced: the peer must not take half for the whole."""
        self.above.transport.write(b"half")
        self.above.transport.abortConnection()
        self.above.transport.write(b"more")
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.peer_reads(), (b"half", "waits"))
        self.peer.write(b"too late")
        self.send()
        self.assertEqual(self.above.received, b"")
        self.assertIs(self.lost(ConnectionAborted), ConnectionAborted)

    def test_nothing_goes_past_tls(self) -> None:
        """Of the transport below only what concerns TCP itself shows; a half close in the clear does not."""
        transport = self.above.transport
        self.transport.setTcpNoDelay = lambda switch: switch  # type: ignore[attr-defined]
        self.assertTrue(transport.setTcpNoDelay(True))
        for name in ("loseWriteConnection", "setTcpKeepAlive", "startTLS", "io"):
            self.assertFalse(hasattr(transport, name), name)
        for interface in (ITransport, IConsumer, IPushProducer, ISystemHandle):
            self.assertTrue(verifyObject(interface, transport))

    def test_pull_producer(self) -> None:
        """A producer that waits to be asked is asked by the transport below."""
        producer = Producer()
        self.above.transport.registerProducer(producer, False)
        self.assertEqual((self.transport.producer, self.transport.streaming), (producer, False))


class HostileTests(InMemoryCase):
    """Peers that break the rules."""

    def test_junk(self) -> None:
        """Junk among records ends the connection with an alert; what came before it counts."""
        self.peer.write(b"good")
        self.protocol.dataReceived(self.outgoing.read() + b"\x17\x03\x03\x00\x20" + b"j" * 32)
        self.assertEqual(self.above.received, b"good")
        self.assertTrue(self.transport.disconnecting)
        self.assertIn("ALERT", self.peer_reads()[1].upper())
        self.protocol.connectionLost(Failure(ConnectionDone()))
        assert self.above.lost is not None
        self.assertTrue(self.above.lost.check(SSL.Error, ssl.SSLError))
        self.assertNotEqual(loss_reason(self.above.lost), "closed")

    def test_flipped_bit(self) -> None:
        """A changed record is found out."""
        self.peer.write(b"good")
        wire = bytearray(self.outgoing.read())
        wire[-1] ^= 1
        self.protocol.dataReceived(bytes(wire))
        self.assertEqual(self.above.received, b"")
        self.assertTrue(self.transport.disconnecting)

    def test_plain_bytes(self) -> None:
        """Plain text in the midst of TLS is no TLS."""
        self.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.above.received, b"")


class FastHostileTests(FastLayer, HostileTests):
    """The same for our own layer."""

    def test_endless_answers(self) -> None:
        """A peer may make us answer often, but not for ever."""
        transport: Any = self.transport
        for number in range(MAXIMUM_ANSWERS + 1):
            self.assertFalse(transport.disconnected, number)
            self.protocol._answer()
        self.assertTrue(transport.disconnected)


class MemoryTests(InMemoryCase):
    """What waits for a slow reader."""

    def test_producer_below(self) -> None:
        """The transport below paces the producer above."""
        producer = Producer()
        self.above.transport.registerProducer(producer, True)
        assert self.transport.producer is not None
        below: Any = self.transport.producer
        below.pauseProducing()
        below.resumeProducing()
        below.stopProducing()
        self.assertEqual(producer.told, ["pause", "resume", "stop"])
        self.assertIsInstance(self.transport, StringTransport)


class FastMemoryTests(FastLayer, MemoryTests):
    """The same for our own layer."""
