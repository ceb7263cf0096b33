"""Tests of L{appproxy.transport.stock_tls}, over loopback with real TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from appproxy.transport.contexts import (
    backend_client_context,
)
from tests.transport.loopback import (
    LoopbackTestCase,
    Server,
)


class StockTlsTests(LoopbackTestCase):
    """Twisted's TLS between transport and application."""

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
