"""Tests of L{appproxy.transport.blocking_proxy}."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.addresses import HostPort
from appproxy.transport.blocking_proxy import connect_through
from appproxy.transport.connect_proxy import ConnectProxy, ProxyRefused

TARGET = HostPort("connect.example.com", 443)
SECONDS = 30.0


class OneConnection:
    """
    A server on loopback that takes one connection, reads a request and answers.

    @ivar request: what it was sent up to the empty line.
    """

    def __init__(self, answer: bytes) -> None:
        self.request = b""
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(SECONDS)
        self.address = HostPort("127.0.0.1", self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """It has ended."""
        self._thread.join(SECONDS)
        self._listening.close()

    def _serve(self) -> None:
        stream, _ = self._listening.accept()
        with stream:
            stream.settimeout(SECONDS)
            while not self.request.endswith(b"\r\n\r\n"):
                self.request += stream.recv(1)
            stream.sendall(self._answer)


class ConnectThroughTests(SynchronousTestCase):
    """L{connect_through}."""

    def server(self, answer: bytes) -> OneConnection:
        """It ends with the test."""
        server = OneConnection(answer)
        self.addCleanup(server.close)
        return server

    def test_direct(self) -> None:
        """Without a proxy it is TCP to the server."""
        server = self.server(b"hello")
        with connect_through(None, server.address, SECONDS) as stream:
            stream.sendall(b"\r\n\r\n")
            self.assertEqual(stream.recv(5), b"hello")

    def test_through(self) -> None:
        """The proxy is asked with the authorization that was made for this connection."""
        server = self.server(b"HTTP/1.1 200 OK\r\n\r\n")
        made = iter((b"Negotiate one", b"Negotiate two"))
        proxy = ConnectProxy(server.address, authorize=lambda: next(made))
        connect_through(proxy, TARGET, SECONDS).close()
        self.assertIn(b"CONNECT connect.example.com:443 ", server.request)
        self.assertIn(b"\r\nProxy-Authorization: Negotiate one\r\n", server.request)
        self.assertEqual(next(made), b"Negotiate two")

    def test_refused(self) -> None:
        """A refusal, and a proxy that hangs up, are told as what they are."""
        for answer, reason in ((b"HTTP/1.1 407 No\r\n\r\n", "proxy_authentication"), (b"", "proxy_closed")):
            proxy = ConnectProxy(self.server(answer).address)
            error = self.assertRaises(ProxyRefused, connect_through, proxy, TARGET, SECONDS)
            self.assertEqual(error.reason, reason)

    def test_no_authorization(self) -> None:
        """Where there is none the proxy is not dialled."""

        def refuse() -> bytes:
            raise ProxyRefused("proxy_authentication", "no ticket")

        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        proxy = ConnectProxy(HostPort("127.0.0.1", listening.getsockname()[1]))
        asking = replace(proxy, authorize=refuse)
        self.assertRaises(ProxyRefused, connect_through, asking, TARGET, SECONDS)
        listening.setblocking(False)
        self.assertRaises(BlockingIOError, listening.accept)
