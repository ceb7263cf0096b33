"""
Look at the first message of a TLS connection, then choose what answers it.

One port serves browsers and tunnels: only who asks for a tunnel is asked for
a client certificate, and the context that asks is chosen before TLS begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.transport import client_hello
from appproxy.transport.client_hello import NEED_MORE, NOT_TLS, ClientHello
from appproxy.transport.contexts import ServerContext
from appproxy.transport.handshaking import Handshaking, TlsLayer
from appproxy.transport.limit import RESERVED_FOR_TUNNELS, ConnectionLimit
from appproxy.transport.peer import peer_identity
from appproxy.transport.socket_options import prepare_transport
from appproxy.transport.turn_queue import TurnQueue

HANDSHAKE_SECONDS: Final = 10.0
"""From the accepted connection to the end of the handshake; a slow mobile line needs three."""

FAREWELL_SECONDS: Final = 2.0
"""How long a refused client may take to read why."""

TUNNEL_HANDSHAKES: Final = 8
"""That begin in one turn, of those with two certificates: some 2 ms each, so 20 ms at the most."""

CLIENT_HANDSHAKES: Final = 2
"""
That begin in one turn, of all others: some 0.4 ms each. So few, because a turn also takes 16 events: when
five hundred come at once, whoever is signed in already waits for these to be read, and not to be answered.
"""

WAITING_BYTES: Final = client_hello.MAXIMUM_SIZE + 32 * 1024
"""Of one whose handshake waits for its turn: a ClientHello, and more early data than browsers send."""

_HTTP_REQUEST: Final = re.compile(rb"[A-Z_-]{1,24}(?: |\Z)")
_HTTP_ANSWER_TEXT: Final = b"This port speaks HTTPS: write https:// in front of the address.\n"
_HTTP_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_HTTP_ANSWER_TEXT), _HTTP_ANSWER_TEXT)
)

_log: Final = Logger()


@dataclass(frozen=True)
class Alert:
    """A fatal TLS alert to answer with (RFC 8446, section 6)."""

    description: int

    @property
    def record(self) -> bytes:
        """The alert as it goes over the wire before any keys exist."""
        return bytes((21, 3, 3, 0, 2, 2, self.description))


HANDSHAKE_FAILURE: Final = Alert(40)
DECODE_ERROR: Final = Alert(50)
UNRECOGNIZED_NAME: Final = Alert(112)
NO_APPLICATION_PROTOCOL: Final = Alert(120)


@dataclass(frozen=True)
class Route:
    """
    How to go on with a client.

    @ivar build: makes the protocol once the handshake is over and the peer is checked.
    """

    context: ServerContext
    build: Callable[[ClientHello], IProtocol]


Choose = Callable[[ClientHello, IAddress], Route | Alert | None]
"""Judges a ClientHello: a route, an alert to refuse with, or L{None} to hang up without a word."""


class PeekingFactory(Factory):
    """Builds a L{PeekingProtocol} for every connection that the limit admits."""

    noisy = False

    def __init__(self, choose: Choose, clock: IReactorTime, tls: TlsLayer, limit: ConnectionLimit) -> None:
        self.choose = choose
        self.clock = clock
        self.tls = tls
        self.limit = limit
        self.tunnels = TurnQueue(clock, TUNNEL_HANDSHAKES)
        self.clients = TurnQueue(clock, CLIENT_HANDSHAKES)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A protocol, or L{None}, upon which the connection is closed."""
        assert addr is not None, "an accepted connection has a peer"
        if self.limit.admit(addr):
            return PeekingProtocol(self, addr)
        if self.limit.admit(addr, RESERVED_FOR_TUNNELS):
            return PeekingProtocol(self, addr, beyond_limit=True)
        self.limit.refuse(addr)
        return None


class PeekingProtocol(Protocol):
    """
    Reads the ClientHello, asks where to, and puts TLS between transport and application.

    It stays the transport's protocol, but the bytes then go straight to the TLS layer, and the TLS layer
    writes straight to the transport: producers and their pauses meet nothing of this class.
    """

    transport: Any
    _below: IProtocol | None = None
    _refused = False
    _begin: Callable[[], None] | None = None
    _queue: TurnQueue | None = None

    def __init__(self, listener: PeekingFactory, peer: IAddress, *, beyond_limit: bool = False) -> None:
        """
        @param beyond_limit: it may stay only if it is a tunnel, or if somebody else leaves in time.
        """
        self._listener = listener
        self._peer = peer
        self._beyond_limit = beyond_limit
        self._received = b""
        self._hello = ClientHello()
        self._deadline = listener.clock.callLater(HANDSHAKE_SECONDS, self._too_late)

    def connectionMade(self) -> None:
        """Small answers must not wait for acknowledgements; dead peers must be noticed."""
        prepare_transport(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Collect until the ClientHello is whole."""
        if self._refused:
            return
        self._received += data
        if self._begin is not None:
            # It waits for its turn. More comes from who offers early data of an earlier server (RFC 8446,
            # section 4.2.10), which TLS will skip.
            if len(self._received) > WAITING_BYTES:
                self.transport.abortConnection()
            return
        hello = client_hello.read(self._received)
        if hello is NEED_MORE:
            return
        if hello is NOT_TLS:
            self._answer_stranger()
            return
        assert isinstance(hello, ClientHello)
        self._hello = hello
        choice = self._listener.choose(hello, self._peer)
        if self._beyond_limit and not _is_tunnel(choice) and self._listener.limit.is_over(self._peer):
            self._listener.limit.refuse(self._peer)
            choice = None
        self._go_on(choice)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the layers above, if there are any."""
        self._stop_waiting()
        if self._begin is not None and self._queue is not None:
            self._queue.leave(self._begin)
            self._begin = None
        self._listener.limit.leave(self._peer)
        below, self._below = self._below, None
        if below is not None:
            below.connectionLost(reason)
            del self.dataReceived

    def _go_on(self, choice: Route | Alert | None) -> None:
        if choice is None:
            self.transport.abortConnection()
        elif isinstance(choice, Alert):
            self._farewell(choice.record)
        elif self._hello.alpn and not set(self._hello.alpn).intersection(choice.context.alpn):
            self._farewell(NO_APPLICATION_PROTOCOL.record)
        else:
            self._queue = self._listener.tunnels if choice.context.client_roles else self._listener.clients
            self._begin = lambda: self._secure(choice)
            self._queue.enter(self._begin, self.transport.abortConnection)

    def _secure(self, route: Route) -> None:
        self._begin = None
        above = Handshaking(
            lambda tls: self._secured(route, tls), lambda reason, problem: self._not_secured(route, problem)
        )
        received, self._received = self._received, b""
        self._below = below = self._listener.tls.server(route.context, above)
        self.dataReceived = below.dataReceived  # type: ignore[method-assign]
        below.makeConnection(self.transport)
        below.dataReceived(received)

    def _secured(self, route: Route, tls: Any) -> IProtocol | None:
        self._stop_waiting()
        problem = unfit_client(route.context, self._hello, tls)
        if problem:
            self._not_secured(route, problem)
            return None
        return route.build(self._hello)

    def _not_secured(self, route: Route, problem: str) -> None:
        # Browsers and scanners break off all day; a tunnel that cannot come up is news.
        note = _log.info if route.context.client_roles else _log.debug
        note(
            "{event}: {peer} gave up or was refused: {reason}",
            event="handshake_failed",
            peer=str(getattr(self._peer, "host", self._peer)),
            reason=problem or "broken_off",
        )

    def _answer_stranger(self) -> None:
        received = self._received
        if received[:1] == b"\x16":
            self._farewell(DECODE_ERROR.record)
        elif _HTTP_REQUEST.match(received):
            self._farewell(_HTTP_ANSWER)
        else:
            self.transport.abortConnection()

    def _farewell(self, last_words: bytes) -> None:
        """Write, then close our side only: a reset would destroy words that were not read yet."""
        self._refused = True
        self._received = b""
        self._stop_waiting()
        self._deadline = self._listener.clock.callLater(FAREWELL_SECONDS, self._too_late)
        self.transport.write(last_words)
        half_close = getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)
        half_close()

    def _too_late(self) -> None:
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()


def _is_tunnel(choice: Route | Alert | None) -> bool:
    """Whether only who shows a certificate of ours gets in."""
    return isinstance(choice, Route) and bool(choice.context.client_roles)


def unfit_client(context: ServerContext, hello: ClientHello, tls: Any) -> str:
    """
    What is wrong with a client whose handshake succeeded, checked once more after it.

    @return: empty if nothing is.
    """
    negotiated = tls.negotiatedProtocol
    if negotiated not in context.alpn and (hello.alpn or context.client_roles):
        return "other_protocol"
    if not context.client_roles:
        return ""
    identity = peer_identity(tls)
    if identity is None:
        return "certificate_without_role"
    return "" if identity.role in context.client_roles else "role_not_allowed"
