"""
The way out through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6), with Basic or Negotiate where it asks
who we are.

Pure but for L{ProxiedEndpoint}, which gives the byte stream behind the proxy.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from appproxy.transport.addresses import HostPort

MAXIMUM_ANSWER: Final = 16 * 1024
"""Of the proxy's head. Refusals bring a page with them, which is not read."""

INSPECTED: Final = (
    "its certificate is not from the CA of this installation. If a firewall or proxy on the way inspects "
    "TLS, have it leave this host out: what we say has to reach the edge unopened"
)
"""What to tell of a server that shows a stranger's certificate."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?:[ \t][^\r\n]*)?\Z")
_ASKS_WHO: Final = (401, 407)
"""407 it should be (RFC 9110, section 15.5.8); tinyproxy answers a wrong password with 401."""

_SCHEME: Final = re.compile(rb"(?mi)^(?:proxy|www)-authenticate:[ \t]*([a-z0-9-]{1,32})")


class ProxyRefused(Exception):
    """
    The proxy does not let us through.

    @ivar reason: in one word: C{proxy_authentication}, C{proxy_refused}, C{proxy_no_http}, C{proxy_closed}.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


Authorize = Callable[[], bytes | Deferred[bytes]]
"""
Makes the value of C{Proxy-Authorization} for one connection: at once, though it may block, for a command
line; later for a daemon. Fails with L{ProxyRefused}.
"""

_NEGOTIATE: Final = b"Negotiate "


@dataclass(frozen=True)
class ConnectProxy:
    """
    An HTTP proxy on the way out.

    @ivar authorization: the value of C{Proxy-Authorization}; empty to send none.
    @ivar authorize: makes another one for each connection; whoever connects asks for it, and goes on with
        what L{authorized} gives.
    """

    address: HostPort
    authorization: bytes = field(default=b"", repr=False)
    authorize: Authorize | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, username: str = "", password: str = "") -> ConnectProxy:
        """
        Read what an administrator writes.

        @param url: C{http://proxy.example:3128}; credentials do not belong there.
        @raise ValueError: with what to write instead.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError('write "http://", a host and a port: "http://proxy.example.com:3128"')
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "the user goes into proxy.username, the password into the file proxy.password_file"
            )
        if ":" in username or not (username + password).isprintable():
            raise ValueError("a user name has no colon, and neither it nor the password control characters")
        netloc = parts.netloc if parts.port else f"{parts.netloc}:80"
        secret = b64encode(f"{username}:{password}".encode())
        return cls(HostPort.parse(netloc), b"Basic " + secret if username else b"")

    def authorized(self, authorization: bytes) -> ConnectProxy:
        """The same proxy for one connection."""
        return replace(self, authorization=authorization, authorize=None)

    def request(self, target: HostPort) -> bytes:
        """What to send before anything else."""
        authority = str(HostPort(target.connect_host, target.port)).encode("ascii")
        lines = [b"CONNECT %s HTTP/1.1" % authority, b"Host: " + authority]
        if self.authorization:
            lines.append(b"Proxy-Authorization: " + self.authorization)
        return b"\r\n".join([*lines, b"", b""])

    def answer_size(self, data: bytes) -> int:
        """
        Read the proxy's answer from all bytes received so far.

        @return: the bytes of its head, behind which the server's begin; 0 while it is incomplete.
        @raise ProxyRefused: if it does not let us through.
        """
        head, end, _ = data.partition(b"\r\n\r\n")
        if not end:
            if len(data) > MAXIMUM_ANSWER or not b"HTTP/1."[: len(data)] == data[:7]:
                raise self._no_http()
            return 0
        found = _STATUS_LINE.match(head.partition(b"\r\n")[0])
        if found is None:
            raise self._no_http()
        status = int(found[1])
        if 200 <= status < 300:
            return len(head) + 4
        raise self._refused(status, head)

    def _no_http(self) -> ProxyRefused:
        return ProxyRefused(
            "proxy_no_http", f"{self.address}, named in proxy.url, does not answer like an HTTP proxy"
        )

    def _refused(self, status: int, head: bytes) -> ProxyRefused:
        if status not in _ASKS_WHO:
            return ProxyRefused(
                "proxy_refused", f"the proxy {self.address} refuses the connection with status {status}"
            )
        schemes = ", ".join(sorted({scheme.decode("ascii") for scheme in _SCHEME.findall(head)})) or "none"
        wanted = f"the proxy {self.address} asks who we are (schemes: {schemes})"
        advice = "write proxy.username and proxy.password_file for Basic, proxy.negotiate for Negotiate"
        if self.authorization.startswith(_NEGOTIATE):
            advice = (
                "it does not take the ticket of kerberos.principal: look at its log, whether its keytab has "
                f"the newest key of HTTP/{self.address.host}, and whether this account may use it"
            )
        elif self.authorization:
            advice = "it does not take proxy.username with the password of proxy.password_file"
        return ProxyRefused("proxy_authentication", f"{wanted}: {advice}")


@implementer(IStreamClientEndpoint)
class ProxiedEndpoint:
    """
    The byte stream to a server behind a proxy.

    C{connect} fires once the proxy has let us through; it fails with L{ProxyRefused}, or with what the
    connection to the proxy failed with. Whoever connects limits the time, and may cancel.
    """

    def __init__(self, below: IStreamClientEndpoint, proxy: ConnectProxy, target: HostPort) -> None:
        """
        @param below: TCP to the proxy.
        """
        self._below = below
        self._proxy = proxy
        self._target = target

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        if self._proxy.authorize is None:
            return self._connect(self._proxy, protocolFactory)
        # Before there is a connection: a proxy does not wait long for a request.
        authorizing: Deferred[bytes] = maybeDeferred(cast(Any, self._proxy.authorize))
        return authorizing.addCallback(
            lambda authorization: self._connect(self._proxy.authorized(authorization), protocolFactory)
        )

    def _connect(self, proxy: ConnectProxy, above: IProtocolFactory) -> Deferred[IProtocol]:
        asking = _Asking(proxy, self._target, above)
        factory: Any = Factory.forProtocol(lambda: asking)
        factory.noisy = False
        asking.dialling = self._below.connect(factory)
        asking.dialling.addErrback(asking.failed)
        return asking.through


class _Asking(Protocol):
    """Asks the proxy, then lets the protocol above take its place."""

    transport: Any
    dialling: Deferred[Any] | None = None

    def __init__(self, proxy: ConnectProxy, target: HostPort, above: IProtocolFactory) -> None:
        self._proxy = proxy
        self._target = target
        self._above = above
        self._received = b""
        self._over = False
        self.through: Deferred[IProtocol] = Deferred(lambda _: self._give_up())

    def connectionMade(self) -> None:
        """Say where to."""
        if self._over:
            self.transport.abortConnection()
        else:
            self.transport.write(self._proxy.request(self._target))

    def dataReceived(self, data: bytes) -> None:
        """Collect until the proxy's head is whole."""
        if self._over:
            return
        self._received += data
        try:
            size = self._proxy.answer_size(self._received)
        except ProxyRefused as error:
            self.transport.abortConnection()
            self.failed(Failure(error))
            return
        if size:
            self._go_on(self._received[size:])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The proxy hung up instead of answering."""
        text = f"the proxy {self._proxy.address} hangs up without an answer"
        self.failed(Failure(ProxyRefused("proxy_closed", text)))

    def failed(self, reason: Failure) -> None:
        """There is no way through."""
        if not self._over:
            self._over = True
            self.through.errback(reason)

    def _go_on(self, rest: bytes) -> None:
        self._over = True
        transport = self.transport
        above = self._above.buildProtocol(transport.getPeer())
        if above is None:
            transport.abortConnection()
            self.through.errback(ProxyRefused("proxy_closed", "nobody waits for this connection any more"))
            return
        transport.protocol = above
        above.makeConnection(transport)
        if rest:
            above.dataReceived(rest)
        self.through.callback(above)

    def _give_up(self) -> None:
        self._over = True
        if self.transport is not None:
            self.transport.abortConnection()
        elif self.dialling is not None:
            self.dialling.cancel()
