"""What every TLS layer promises: tests of L{appproxy.transport.layers} and what it names."""

from __future__ import annotations

import gc
import ssl
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.contexts import (
    backend_client_context,
)
from appproxy.transport.fast_tls import FastTls
from appproxy.transport.handshaking import LINGER_SECONDS, Handshaking
from appproxy.transport.layers import tls_layer
from appproxy.transport.peeking import PeekingProtocol
from appproxy.transport.secured import SecuredConnection
from appproxy.transport.stock_tls import StockTls
from tests.transport.in_memory import InMemoryCase
from tests.transport.loopback import (
    FastLayer,
    LoopbackTestCase,
    Server,
    dial_context,
)


class LayerTests(LoopbackTestCase):
    """TLS between transport and application."""

    def test_back_pressure(self) -> None:
        """A reader that stops pauses the producer above TLS; reading on resumes it."""
        size = 8 << 20

        class Producer:
            """Writes 64 KiB whenever it may, and notes when it may not."""

            def __init__(self, transport: Any) -> None:
                self.transport = transport
                self.sent = self.pauses = 0
                self.running = False

            def resumeProducing(self) -> None:
                self.running = True
                while self.running and self.sent < size:
                    self.sent += 65536
                    self.transport.write(b"x" * 65536)
                if self.sent >= size and self.running:
                    self.running = False
                    self.transport.unregisterProducer()

            def pauseProducing(self) -> None:
                self.running = False
                self.pauses += 1

            def stopProducing(self) -> None:
                self.running = False

        async def main(server: Server, port: int) -> None:
            client = await self.greet(server, port, backend_client_context([], False, "wiki.example"))
            client.transport.pauseProducing()
            transport = server.web[0].transport
            producer = Producer(transport)
            transport.registerProducer(producer, True)
            producer.resumeProducing()
            waited: Deferred[None] = Deferred()
            server.reactor.callLater(0.3, waited.callback, None)
            await waited
            self.assertLess(producer.sent, size)
            self.assertGreater(producer.pauses, 0)
            self.assertEqual(client.received, b"")
            client.transport.resumeProducing()
            await client.until_received(size)
            self.assertEqual(producer.sent, size)
            client.transport.loseConnection()
            await server.web[0].until_lost()

        self.run_with(main)

    def test_nothing_left(self) -> None:
        """A closed connection goes at once, with all that OpenSSL keeps for it: no collector is needed."""

        async def main(server: Server, port: int) -> None:
            web, tunnel = backend_client_context([], False, "wiki.example"), dial_context()
            kinds = (
                SSL.Connection,
                ssl.SSLObject,
                TLSMemoryBIOProtocol,
                SecuredConnection,
                PeekingProtocol,
                Handshaking,
            )
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            before = [each for each in gc.get_objects() if isinstance(each, kinds)]
            for context, protocols in ((web, server.web), (tunnel, server.tunnels)):
                client = await self.greet(server, port, context)
                client.transport.loseConnection()
                await protocols[0].until_lost()
                protocols.clear()
                del client
            await deferLater(server.reactor, 0.05)
            after = [each for each in gc.get_objects() if isinstance(each, kinds)]
            self.assertEqual([each for each in after if each not in before], [])

        self.run_with(main)


class ClosingTests(InMemoryCase):
    """A close ends, whatever the peer does."""

    def test_silent_peer(self) -> None:
        """A peer that never answers a close is cut off after a while."""
        self.above.transport.write(b"last words")
        self.above.transport.loseConnection()
        self.clock.advance(LINGER_SECONDS - 1)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)

    def test_peer_that_ends(self) -> None:
        """A peer that announces its end and then takes nothing more is cut off after a while."""
        self.above.transport.registerProducer(StringTransport(), True)
        with self.assertRaises(ssl.SSLWantReadError):
            self.peer.unwrap()
        self.send()
        self.assertTrue(self.transport.disconnecting)
        self.clock.advance(LINGER_SECONDS - 1)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)

    def test_answering_peer(self) -> None:
        """When the connection ends in time, no timer is left."""
        self.above.transport.loseConnection()
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNotNone(self.above.lost)

    def test_producer_first(self) -> None:
        """A close behind a producer waits for it, however long it takes."""
        transport = self.above.transport
        transport.registerProducer(StringTransport(), True)
        transport.loseConnection()
        self.clock.advance(LINGER_SECONDS * 10)
        self.assertFalse(self.transport.disconnected)
        transport.unregisterProducer()
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.transport.disconnected)


class FastLayerTests(FastLayer, LayerTests):
    """The same for our own layer."""


class FastClosingTests(FastLayer, ClosingTests):
    """The same for our own layer."""


class TlsLayerTests(SynchronousTestCase):
    """The setting that names a layer."""

    def test_names(self) -> None:
        """Both are there; another is refused by name."""
        self.assertIsInstance(tls_layer("stock", Clock()), StockTls)
        self.assertIsInstance(tls_layer("fast", Clock()), FastTls)
        with self.assertRaisesRegex(KeyError, "slow"):
            tls_layer("slow", Clock())
