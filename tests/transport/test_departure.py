"""L{appproxy.transport.departure}."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.departure import has_left


class DepartureTests(SynchronousTestCase):
    """L{has_left}."""

    def pair(self) -> tuple[socket.socket, object]:
        """Both ends of a connection, ours as the transport below another one."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname(), 10)
            ours, _ = listening.accept()
        self.addCleanup(peer.close)
        self.addCleanup(ours.close)
        # What waits unread hides the end from who looks for it by reading.
        peer.sendall(b"x")
        return peer, SimpleNamespace(transport=SimpleNamespace(socket=ours))

    def test_there(self) -> None:
        """Who is still there has not left."""
        self.assertFalse(has_left(self.pair()[1]))

    def test_left(self) -> None:
        """Who closed, closed half, or reset the connection, has."""
        peer, ours = self.pair()
        peer.close()
        self.assertTrue(has_left(ours))
        peer, ours = self.pair()
        peer.shutdown(socket.SHUT_WR)
        self.assertTrue(has_left(ours))
        peer, ours = self.pair()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        self.assertTrue(has_left(ours))

    def test_nobody_knows(self) -> None:
        """Of what is no TCP connection, or none any more, nothing is said."""
        one, other = socket.socketpair()
        other.close()
        self.addCleanup(one.close)
        closed = socket.socket()
        closed.close()
        for transport in (
            StringTransport(),
            None,
            SimpleNamespace(socket=one),
            SimpleNamespace(socket=closed),
        ):
            self.assertFalse(has_left(transport))
