"""
A TLS layer in memory, and a client of the standard library that a test moves by hand.
"""

from __future__ import annotations

import ssl
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.contexts import server_context
from appproxy.transport.handshaking import Handshaking
from appproxy.transport.layers import tls_layer
from tests.transport.loopback import WEB, WEB_CERTIFICATE, WEB_CHAIN
from tests.transport.support import Recorder


class InMemoryCase(SynchronousTestCase):
    """
    One connection whose handshake is over.

    @cvar tls_transport: the layer, as settings name it.
    """

    tls_transport = "stock"

    def setUp(self) -> None:
        self.clock = Clock()
        self.above = Recorder()
        self.layer = tls_layer(self.tls_transport, self.clock)
        self.transport = StringTransport()
        server = server_context(WEB_CHAIN, WEB_CERTIFICATE.private_key_pem.bytes())
        self.protocol: Any = self.layer.server(server, Handshaking(lambda _: self.above, lambda *_: None))
        client = ssl.create_default_context()
        WEB.configure_trust(client)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.peer = client.wrap_bio(self.incoming, self.outgoing, server_hostname="wiki.example")
        self.protocol.makeConnection(self.transport)
        while not self.above.made:
            try:
                self.peer.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.send()
            self.take()

    def send(self) -> None:
        """What the peer wants to send arrives."""
        data = self.outgoing.read()
        if data:
            self.protocol.dataReceived(data)

    def take(self) -> None:
        """What we sent arrives at the peer."""
        self.incoming.write(self.transport.value())
        self.transport.clear()

    def peer_reads(self) -> tuple[bytes, str]:
        """What the peer can read, and why it then stops."""
        self.take()
        data = b""
        while True:
            try:
                piece = self.peer.read(16384)
            except ssl.SSLWantReadError:
                return data, "waits"
            except ssl.SSLZeroReturnError:
                return data, "end"
            except ssl.SSLError as error:
                return data, str(error.reason or error)
            if not piece:
                return data, "end"
            data += piece
