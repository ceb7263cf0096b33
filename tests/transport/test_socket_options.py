"""Tests of L{appproxy.transport.socket_options}."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.socket_options import UNSENT_BYTES, prepare_transport


class PrepareTests(SynchronousTestCase):
    """What is asked of the kernel."""

    def test_unsent_limit(self) -> None:
        """The kernel is told to keep little for a reader that stalls, also below a TLS layer."""

        class Bare:
            def __init__(self, plain: socket.socket) -> None:
                self.socket = plain

        class Above:
            def __init__(self, transport: object) -> None:
                self.transport = transport

        plain = socket.socket()
        self.addCleanup(plain.close)
        prepare_transport(Above(Bare(plain)))
        self.assertEqual(plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT), UNSENT_BYTES)
        unix = socket.socket(socket.AF_UNIX)
        self.addCleanup(unix.close)
        prepare_transport(Bare(unix))

    def test_options(self) -> None:
        """Small writes do not wait for acknowledgements, and a peer that vanished is noticed."""
        asked = []

        class Tcp:
            def setTcpNoDelay(self, enabled: bool) -> None:
                asked.append(("no delay", enabled))

            def setTcpKeepAlive(self, enabled: bool) -> None:
                asked.append(("keep alive", enabled))

        prepare_transport(Tcp())
        self.assertEqual(asked, [("no delay", True), ("keep alive", True)])
