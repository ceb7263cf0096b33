"""Tests of L{appproxy.transport.connect_proxy}."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import (
    MAXIMUM_ANSWER,
    ConnectProxy,
    ProxiedEndpoint,
    ProxyRefused,
)
from tests.transport.support import Recorder

TARGET = HostPort("connect.example.com", 443)
OPEN = ConnectProxy(HostPort("proxy.example", 3128))
ASKING = ConnectProxy.parse("http://proxy.example:3128", "svc", "s3cret")
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n"


class ParseTests(SynchronousTestCase):
    """What an administrator writes, and what the proxy is sent."""

    def test_request(self) -> None:
        """The request names the server, twice, and nothing else of ours."""
        self.assertEqual(
            OPEN.request(TARGET),
            b"CONNECT connect.example.com:443 HTTP/1.1\r\nHost: connect.example.com:443\r\n\r\n",
        )
        self.assertIn(b"CONNECT [fd00::1]:443 HTTP/1.1\r\n", OPEN.request(HostPort("fd00::1", 443)))

    def test_user(self) -> None:
        """A user is sent as Basic says (RFC 7617), and shown by nobody who shows the proxy."""
        self.assertIn(b"\r\nProxy-Authorization: Basic c3ZjOnMzY3JldA==\r\n\r\n", ASKING.request(TARGET))
        self.assertNotIn("c3ZjO", repr(ASKING))

    def test_usual_port(self) -> None:
        """Without a port it is that of HTTP."""
        self.assertEqual(ConnectProxy.parse("http://proxy.example").address, HostPort("proxy.example", 80))
        self.assertEqual(ConnectProxy.parse("http://[fd00::1]/").address, HostPort("fd00::1", 80))

    def test_no_line_ends(self) -> None:
        """Nothing that an administrator or a file says can add a line."""
        for user, password in (("a\r\nX: y", "p"), ("a", "p\nX: y"), ("a:b", "p")):
            self.assertRaises(ValueError, ConnectProxy.parse, "http://p:1", user, password)


class AnswerTests(SynchronousTestCase):
    """What the proxy says."""

    def refusal(self, data: bytes, proxy: ConnectProxy = OPEN) -> ProxyRefused:
        """Why it does not let us through."""
        error: ProxyRefused = self.assertRaises(ProxyRefused, proxy.answer_size, data)
        return error

    def test_through(self) -> None:
        """Any 2xx lets us through, once its head is whole; what stands behind is the server's."""
        for head in (ESTABLISHED, b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 204\r\nX: y\r\n\r\n"):
            self.assertEqual(OPEN.answer_size(head + b"\x16\x03"), len(head))
            for size in range(len(head)):
                self.assertEqual(OPEN.answer_size(head[:size]), 0, head[:size])

    def test_asks_who(self) -> None:
        """407 names the schemes that would do, and what to write; never the password."""
        head = (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n"
            b'proxy-authenticate: Basic realm="a, b"\r\n\r\n<html>'
        )
        error = self.refusal(head)
        self.assertEqual(error.reason, "proxy_authentication")
        self.assertIn("Basic, Negotiate", str(error))
        self.assertIn("write proxy.username", str(error))
        error = self.refusal(head, ASKING)
        self.assertIn("does not take proxy.username", str(error))
        self.assertNotIn("s3cret", str(error))

    def test_ticket_not_taken(self) -> None:
        """A proxy that does not take a ticket is told with the name that it was for, not with the ticket."""
        proxy = OPEN.authorized(b"Negotiate YIIabc")
        error = self.refusal(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate oRQw\r\n\r\n", proxy)
        self.assertEqual(error.reason, "proxy_authentication")
        self.assertIn("does not take the ticket of kerberos.principal", str(error))
        self.assertIn("HTTP/proxy.example", str(error))
        self.assertNotIn("YII", str(error))
        self.assertNotIn("YII", repr(proxy))

    def test_asks_who_otherwise(self) -> None:
        """Proxies that say 401 instead mean the same."""
        error = self.refusal(b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n", ASKING)
        self.assertEqual(error.reason, "proxy_authentication")
        self.assertIn("schemes: Basic", str(error))

    def test_refuses(self) -> None:
        """Any other status is told as it is."""
        error = self.refusal(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno no")
        self.assertEqual(error.reason, "proxy_refused")
        self.assertIn("status 403", str(error))

    def test_no_proxy(self) -> None:
        """What does not answer like HTTP is no proxy, and is not listened to for ever."""
        for data in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MAXIMUM_ANSWER,
        ):
            self.assertEqual(self.refusal(data).reason, "proxy_no_http", data[:30])

    @given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda rest: b"HTTP/1.1 200" + rest))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever comes: a head that is in it, the wish for more, or a refusal."""
        try:
            size = OPEN.answer_size(data)
        except ProxyRefused:
            return
        self.assertIn(size, (0, data.find(b"\r\n\r\n") + 4))


class Below:
    """An endpoint whose connection the test makes."""

    def __init__(self) -> None:
        self.cancelled = False
        self.connected: Deferred[Any] = Deferred(lambda _: setattr(self, "cancelled", True))
        self.transport: Any = StringTransport()

    def connect(self, factory: Any) -> Deferred[Any]:
        """Begin."""
        self.factory = factory
        return self.connected

    def succeed(self) -> Any:
        """There is a connection."""
        protocol = self.factory.buildProtocol(None)
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        self.connected.callback(protocol)
        return protocol


class EndpointTests(SynchronousTestCase):
    """L{ProxiedEndpoint}."""

    def setUp(self) -> None:
        self.below = Below()
        self.above = Recorder()
        endpoint: Any = ProxiedEndpoint(self.below, OPEN, TARGET)  # type: ignore[arg-type]
        self.through = endpoint.connect(Factory.forProtocol(lambda: self.above))

    def test_through(self) -> None:
        """Behind the proxy's head the protocol above has the connection, and every byte of it."""
        asking = self.below.succeed()
        self.assertEqual(self.below.transport.value(), OPEN.request(TARGET))
        asking.dataReceived(ESTABLISHED[:20])
        self.assertNoResult(self.through)
        asking.dataReceived(ESTABLISHED[20:] + b"server")
        self.assertIs(self.successResultOf(self.through), self.above)
        self.assertEqual(self.above.received, b"server")
        self.assertIs(self.below.transport.protocol, self.above)

    def test_refused(self) -> None:
        """A refusal is an error, and the connection is over."""
        asking = self.below.succeed()
        asking.dataReceived(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        self.failureResultOf(self.through, ProxyRefused)
        self.assertTrue(self.below.transport.disconnected)

    def test_hangs_up(self) -> None:
        """So is a proxy that hangs up, or is not there."""
        self.below.succeed().connectionLost(connectionDone)
        self.assertEqual(self.failureResultOf(self.through, ProxyRefused).value.reason, "proxy_closed")
        self.setUp()
        self.below.connected.errback(ConnectionRefusedError())
        self.failureResultOf(self.through, ConnectionRefusedError)

    def test_cancelled(self) -> None:
        """Who no longer waits leaves nothing behind, at whatever point."""
        self.through.cancel()
        self.failureResultOf(self.through)
        self.assertTrue(self.below.cancelled)
        self.setUp()
        self.below.succeed()
        self.through.cancel()
        self.failureResultOf(self.through)
        self.assertTrue(self.below.transport.disconnected)


class AuthorizedEndpointTests(SynchronousTestCase):
    """L{ProxiedEndpoint} where each connection has an authorization of its own."""

    def setUp(self) -> None:
        self.asked: list[Deferred[bytes]] = []
        self.cancelled = 0
        self.below = Below()
        self.above = Recorder()
        self.endpoint: Any = ProxiedEndpoint(self.below, replace(OPEN, authorize=self.authorize), TARGET)  # type: ignore[arg-type]

    def authorize(self) -> Deferred[bytes]:
        """The test answers."""
        self.asked.append(Deferred(lambda _: self.count()))
        return self.asked[-1]

    def count(self) -> None:
        """It was cancelled."""
        self.cancelled += 1

    def connect(self) -> Deferred[Any]:
        """Begin."""
        through: Deferred[Any] = self.endpoint.connect(Factory.forProtocol(lambda: self.above))
        return through

    def test_through(self) -> None:
        """The proxy is dialled once there is an authorization, which stands in the first request."""
        through = self.connect()
        self.assertFalse(hasattr(self.below, "factory"))
        self.asked[0].callback(b"Negotiate one")
        asking = self.below.succeed()
        self.assertIn(b"\r\nProxy-Authorization: Negotiate one\r\n\r\n", self.below.transport.value())
        asking.dataReceived(ESTABLISHED)
        self.assertIs(self.successResultOf(through), self.above)

    def test_each(self) -> None:
        """No authorization is used twice."""
        self.connect()
        self.asked[0].callback(b"Negotiate one")
        self.below.succeed()
        self.below.__init__()  # type: ignore[misc]
        self.connect()
        self.asked[1].callback(b"Negotiate two")
        self.below.succeed()
        self.assertIn(b"Negotiate two", self.below.transport.value())

    def test_at_once(self) -> None:
        """It may be there at once, or fail so."""
        endpoint: Any = ProxiedEndpoint(self.below, replace(OPEN, authorize=lambda: b"Negotiate x"), TARGET)  # type: ignore[arg-type]
        endpoint.connect(Factory.forProtocol(lambda: self.above))
        self.below.succeed()
        self.assertIn(b"Negotiate x", self.below.transport.value())

    def test_none(self) -> None:
        """Without one the proxy is not even dialled."""
        through = self.connect()
        self.asked[0].errback(ProxyRefused("proxy_authentication", "no ticket"))
        self.assertEqual(self.failureResultOf(through, ProxyRefused).value.reason, "proxy_authentication")
        self.assertFalse(hasattr(self.below, "factory"))

    def test_cancelled(self) -> None:
        """Who no longer waits gives up the authorization, or the connection that came after it."""
        through = self.connect()
        through.cancel()
        self.failureResultOf(through)
        self.assertEqual(self.cancelled, 1)
        self.assertFalse(hasattr(self.below, "factory"))
        through = self.connect()
        self.asked[1].callback(b"Negotiate x")
        through.cancel()
        self.failureResultOf(through)
        self.assertTrue(self.below.cancelled)
