"""L{appproxy.connector.dial}: a fake network for names and addresses, a real one for TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import trustme
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from appproxy.connector.allow_list import AllowList
from appproxy.connector.backend_connection import BackendConnection
from appproxy.connector.backends import Backends
from appproxy.connector.dial import MAXIMUM_ADDRESSES, BackendDialer, BackendError
from appproxy.httpwire.heads import End
from appproxy.model.web_address import parse_web_address
from appproxy.transport.contexts import BadCertificate, ServerContext, backend_client_context, server_context
from appproxy.transport.handshaking import Handshaking, TlsLayer
from appproxy.transport.layers import tls_layer
from appproxy.transport.stock_tls import StockTls
from appproxy.transport.wheel import TimerWheel
from tests.connector.support import backend
from tests.connector.test_backend_connection import Listener as CallListener
from tests.transport.support import run_reactor

TIMEOUT = 10.0


@implementer(IHostnameResolver)
class Resolver:
    """Says what the test wants, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.silent = False

    def resolveHostName(
        self, resolutionReceiver: IResolutionReceiver, hostName: str, *_arguments: Any, **_named: Any
    ) -> Any:
        """Answer at once."""
        self.asked.append(hostName)
        if self.silent:
            return resolutionReceiver
        resolutionReceiver.resolutionBegan(None)  # type: ignore[arg-type]
        for address in self.answers.pop(0):
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, 0))
        resolutionReceiver.resolutionComplete()
        return resolutionReceiver


class FakeNetworkTests(SynchronousTestCase):
    """L{BackendDialer} on a network that the test makes up."""

    def dialer(self, url: str, *answers: Sequence[str]) -> BackendDialer:
        """A dialer for one URL; its name resolves to one answer after the other."""
        self.reactor = MemoryReactorClock()
        self.resolver = Resolver(*answers)
        self.reactor.nameResolver = self.resolver
        allow_list = AllowList.parse(["*.corp.example:80", "10.1.0.0/16:80", "127.0.0.1:80"], ["10.0.0.0/8"])
        return BackendDialer(
            self.reactor, parse_web_address(url), allow_list, None, TIMEOUT, StockTls(self.reactor)
        )

    def hosts(self) -> list[str]:
        """Which addresses were dialled."""
        return [each[0] for each in self.reactor.tcpClients]

    def succeed(self, index: int = -1) -> None:
        """Let a connection come up."""
        _, _, factory, *_ = self.reactor.tcpClients[index]
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 80))
        protocol.makeConnection(StringTransport())

    def refuse(self, index: int = -1) -> None:
        """Let one be refused."""
        factory: Any = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def error(self, dialled: Any) -> BackendError:
        """Why a dial failed."""
        problem = self.failureResultOf(dialled, BackendError).value
        assert isinstance(problem, BackendError)
        return problem

    def test_name(self) -> None:
        """A name is resolved, and its address dialled."""
        dialled = self.dialer("http://wiki.corp.example/", ["10.0.0.1"]).dial(lambda _: None)
        self.assertEqual(self.hosts(), ["10.0.0.1"])
        self.succeed()
        connection = self.successResultOf(dialled)
        self.assertIsInstance(connection, BackendConnection)
        self.assertTrue(connection.open)

    def test_literal(self) -> None:
        """An address needs no resolver, which could say something else."""
        self.dialer("http://127.0.0.1/").dial(lambda _: None)
        self.assertEqual((self.hosts(), self.resolver.asked), (["127.0.0.1"], []))

    def test_rebinding(self) -> None:
        """A name is judged anew at every connection: the second time it may lead elsewhere."""
        dialer = self.dialer(
            "http://wiki.corp.example/", ["10.0.0.1"], ["127.0.0.1"], ["8.8.8.8"], ["::ffff:127.0.0.1"]
        )
        dialer.dial(lambda _: None)
        for _ in range(3):
            self.assertEqual(self.error(dialer.dial(lambda _: None)).reason, "backend_not_allowed")
        self.assertEqual(self.hosts(), ["10.0.0.1"])

    def test_some_addresses(self) -> None:
        """Of several addresses only the permitted ones are dialled, one after the other."""
        dialled = self.dialer(
            "http://wiki.corp.example/", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "10.0.0.2"]
        ).dial(lambda _: None)
        self.assertEqual(self.hosts(), ["10.0.0.1"])
        self.refuse()
        self.assertEqual(self.hosts(), ["10.0.0.1", "10.0.0.2"])
        self.succeed()
        self.successResultOf(dialled)

    def test_all_refused(self) -> None:
        """If none takes the connection, the last one's reason is told; not all of very many are tried."""
        addresses = [f"10.0.0.{number}" for number in range(1, 9)]
        dialled = self.dialer("http://wiki.corp.example/", addresses).dial(lambda _: None)
        for _ in range(MAXIMUM_ADDRESSES):
            self.refuse()
        error = self.error(dialled)
        self.assertEqual((error.reason, len(self.hosts())), ("backend_refused", MAXIMUM_ADDRESSES))
        self.assertIn("10.0.0.4", error.detail)

    def test_silent_address(self) -> None:
        """An address that swallows everything leaves time for the next one."""
        dialled = self.dialer("http://wiki.corp.example/", ["10.0.0.1", "10.0.0.2"]).dial(lambda _: None)
        self.assertEqual(self.reactor.tcpClients[0][3], TIMEOUT / 2)
        self.assertNoResult(dialled)

    def test_timeout(self) -> None:
        """Name, connection and handshake together have one limit."""
        dialer = self.dialer("http://wiki.corp.example/")
        self.resolver.silent = True
        dialled = dialer.dial(lambda _: None)
        self.reactor.advance(TIMEOUT - 1)
        self.assertNoResult(dialled)
        self.reactor.advance(1)
        self.assertEqual(self.error(dialled).reason, "backend_refused")

    def test_no_address(self) -> None:
        """A name that is not there is told as such."""
        dialled = self.dialer("http://wiki.corp.example/", []).dial(lambda _: None)
        self.assertEqual(self.error(dialled).reason, "backend_name")

    def test_not_allowed(self) -> None:
        """What the file does not list is not even resolved."""
        for url in ("http://evil.example/", "http://wiki.corp.example:81/", "http://10.2.0.1/"):
            dialled = self.dialer(url).dial(lambda _: None)
            self.assertEqual(self.error(dialled).reason, "backend_not_allowed")
            self.assertEqual((self.resolver.asked, self.hosts()), ([], []))

    def test_cancelled(self) -> None:
        """Whoever has left takes the connection's attempt along."""
        dialled = self.dialer("http://wiki.corp.example/", ["10.0.0.1"]).dial(lambda _: None)
        dialled.cancel()
        self.failureResultOf(dialled)
        self.assertTrue(
            self.reactor.connectors[0]._disconnected or self.reactor.connectors[0].stoppedConnecting
        )


class Server(Protocol):
    """Answers any request with a body that ends with the connection."""

    def dataReceived(self, data: bytes) -> None:
        """Answer; close as asked for."""
        transport: Any = self.transport
        transport.write(b"HTTP/1.1 200 OK\r\n\r\nhi")
        if b"/clean" in data:
            transport.loseConnection()
        else:
            # As if cut off on the way: the TCP connection ends, TLS does not.
            transport.transport.loseConnection()


CA = trustme.CA()
GOOD = CA.issue_cert("wiki.corp.example", "127.0.0.1")
EXPIRED = CA.issue_cert("wiki.corp.example", not_after=datetime(2020, 1, 1))
OTHER_NAME = CA.issue_cert("other.corp.example")
FOREIGN = trustme.CA().issue_cert("wiki.corp.example")


class TlsTests(SynchronousTestCase):
    """
    L{BackendDialer} and TLS on loopback, with real certificates.

    @cvar tls_transport: the layer of both ends.
    """

    tls_transport = "stock"

    def dial(
        self,
        certificate: trustme.LeafCert,
        *,
        verify: bool = True,
        url: str = "https://wiki.corp.example:{port}/",
        then: Callable[[BackendConnection], Awaitable[None]] | None = None,
    ) -> str:
        """Dial a server with this certificate; why it failed, empty if it did not."""
        reactor = EPollReactor()
        tls = tls_layer(self.tls_transport, reactor)
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        context = server_context(chain, certificate.private_key_pem.bytes())
        outcome: list[str] = []

        async def main() -> None:
            port = reactor.listenTCP(0, _TlsServer(tls, context), interface="127.0.0.1")
            address = parse_web_address(url.format(port=port.getHost().port))
            allow_list = _Anything.parse(["*.corp.example", "127.0.0.1"], [])
            ours = backend_client_context([CA.cert_pem.bytes()], verify, address.host)
            dialer = BackendDialer(reactor, address, allow_list, ours, TIMEOUT, tls)
            try:
                connection = await dialer.dial(lambda _: None)
            except BackendError as error:
                outcome.append(f"{error.reason} {error.detail.rpartition(' ')[2]}")
            else:
                outcome.append("")
                if then is not None:
                    await then(connection)
                connection.discard()
            await port.stopListening()

        run_reactor(reactor, main)
        return outcome[0]

    def test_good(self) -> None:
        """A server that is who it should be, by name or by address."""
        self.assertEqual(self.dial(GOOD), "")
        self.assertEqual(self.dial(GOOD, url="https://127.0.0.1:{port}/"), "")

    def test_bad(self) -> None:
        """One that is not: its reason is named."""
        self.assertEqual(self.dial(EXPIRED), "backend_tls certificate_expired")
        self.assertEqual(self.dial(OTHER_NAME), "backend_tls other_host")
        self.assertEqual(self.dial(OTHER_NAME, url="https://127.0.0.1:{port}/"), "backend_tls other_host")
        self.assertEqual(self.dial(FOREIGN), "backend_tls unknown_authority")

    def test_unverified(self) -> None:
        """Checking can be switched off for one application."""
        for certificate in (EXPIRED, OTHER_NAME, FOREIGN):
            self.assertEqual(self.dial(certificate, verify=False), "")

    def test_end_of_input(self) -> None:
        """A body without length is complete only if TLS said that it is."""
        for path, last in ((b"/clean", "end"), (b"/cut", "failed")):
            listener = Listener()

            async def exchange(connection: BackendConnection, path: bytes = path, to: Any = listener) -> None:
                connection.begin(to, b"GET", None)
                connection.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                await to.over

            self.dial(GOOD, then=exchange)
            self.assertEqual([each[0] for each in listener.calls], ["head", last])
            self.assertEqual(listener.body, b"hi")


class FastTlsTests(TlsTests):
    """The same over our own TLS layer."""

    tls_transport = "fast"


class Listener(CallListener):
    """Says when the answer is over."""

    def __init__(self) -> None:
        super().__init__()
        self.over: Deferred[None] = Deferred()

    def answer_end(self, end: End) -> None:
        """Note it."""
        super().answer_end(end)
        self.over.callback(None)

    def answer_failed(self, rule: str, started: bool) -> None:
        """Note it."""
        super().answer_failed(rule, started)
        self.over.callback(None)


class _Anything(AllowList):
    """Lets names lead to loopback, which the real one never does."""

    def permit(self, backend: Any) -> Any:
        permit = super().permit(backend)
        if permit is not None and permit.literal is None:
            return super().permit(parse_web_address("https://127.0.0.1/"))
        return permit


class _TlsServer(Factory):
    noisy = False

    def __init__(self, layer: TlsLayer, context: ServerContext) -> None:
        self._layer = layer
        self._context = context

    def buildProtocol(self, addr: object) -> Any:
        return self._layer.server(
            self._context, Handshaking(lambda _tls: Server(), lambda _reason, _problem: None)
        )


class BackendsTests(SynchronousTestCase):
    """L{Backends}."""

    def make(self, *ca_pems: bytes) -> Backends:
        """For a reactor in memory."""
        reactor = MemoryReactorClock()
        return Backends(
            reactor, TimerWheel(reactor), AllowList.parse([], []), ca_pems, 10, 64, 60, StockTls(reactor)
        )

    def test_bad_authority(self) -> None:
        """A CA that cannot be read is found before the first tunnel."""
        self.assertRaises(BadCertificate, self.make, b"no certificate")

    def test_pool(self) -> None:
        """Each application gets a pool of its own, for plain HTTP and for TLS."""
        backends = self.make(CA.cert_pem.bytes())
        for internal in ("http://wiki.corp.example/", "https://wiki.corp.example/"):
            pool = backends.pool(backend(internal=internal))
            self.failureResultOf(pool.connect(), BackendError)
            self.assertEqual(pool.connections, 0)
