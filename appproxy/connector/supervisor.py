"""
Keeps a tunnel to every edge or relay that this connector was told of.

A tunnel that is about to close is replaced before it is gone, so that two to
one address may overlap: Twisted's C{ClientService} keeps one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.connector.tunnel_end import TunnelEnd
from appproxy.pki.identity import Identity
from appproxy.transport.addresses import HostPort
from appproxy.transport.contexts import tunnel_client_context
from appproxy.transport.dialer import TlsClientEndpoint, TlsRefused
from appproxy.transport.turn import Schedule
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings

FIRST_DELAY_SECONDS: Final = 0.5
LONGEST_DELAY_SECONDS: Final = 30.0
"""Back-off with jitter: a restarted edge is found at once, and a hundred connectors do not come as one."""

STABLE_SECONDS: Final = 30.0
"""A tunnel that lived this long starts the back-off anew."""


class TunnelDialer:
    """
    The tunnels to one address: one in use, older ones that drain.

    @ivar ends: all that are open.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        schedule: Schedule,
        address: HostPort,
        identity: Callable[[], Identity],
        make_end: Callable[[str], TunnelEnd],
        settings: TunnelSettings,
    ) -> None:
        self.ends: dict[TunnelEnd, TunnelProtocol] = {}
        self._reactor = reactor
        self._schedule = schedule
        self._address = address
        self._identity = identity
        self._make_end = make_end
        self._settings = settings
        self._delay = backoffPolicy(FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
        self._attempts = 0
        self._current: TunnelEnd | None = None
        self._connecting: Deferred[Any] | None = None
        self._waiting: IDelayedCall | None = None
        self._stopped = False
        self._last_problem = ""

    def start(self) -> None:
        """Dial, and again whenever there is no tunnel in use."""
        if self._stopped or self._connecting is not None:
            return
        self._waiting = None
        identity = self._identity()
        context = tunnel_client_context(
            identity.chain_pem, identity.key_pem, identity.ca_pem, identity.connect_host
        )
        endpoint = TlsClientEndpoint(self._reactor, self._address, context)
        end = self._make_end(str(self._address))
        factory = _OneTunnel(lambda: self._protocol(end))
        self._connecting = endpoint.connect(factory)
        self._connecting.addCallbacks(self._connected, self._failed, callbackArgs=(end,))

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """Dial no more, and let the streams of every tunnel end."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._connecting is not None:
            self._connecting.cancel()
        return DeferredList([protocol.drain(drain_seconds) for protocol in self.ends.values()])

    def leaving(self, end: TunnelEnd) -> None:
        """The other side is about to close this tunnel: look for the next one now."""
        if end is self._current:
            self._current = None
            self._again()

    def _protocol(self, end: TunnelEnd) -> TunnelProtocol:
        def session(wake: Callable[[], None]) -> TunnelSession:
            made = TunnelSession("acceptor", self._settings, end, wake)
            end.attached(made)
            return made

        protocol = TunnelProtocol(session, self._reactor, self._schedule)
        end.timed = protocol.pong
        return protocol

    def _connected(self, protocol: TunnelProtocol, end: TunnelEnd) -> None:
        self._connecting = None
        self.ends[end] = protocol
        self._current = end
        self._last_problem = ""
        since = self._reactor.seconds()
        self._log.info("{event}: {address}", event="tunnel_up", address=str(self._address))
        protocol.lost.addCallback(lambda why: self._lost(end, why, since))
        if self._stopped:
            protocol.abort("stopping")

    def _lost(self, end: TunnelEnd, why: str, since: float) -> None:
        del self.ends[end]
        end.lost()
        self._log.info("{event}: {address}: {why}", event="tunnel_down", address=str(self._address), why=why)
        if self._reactor.seconds() - since > STABLE_SECONDS:
            self._attempts = 0
        if end is self._current:
            self._current = None
            self._again()

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if self._stopped:
            return
        problem = (
            str(failure.value)
            if failure.check(TlsRefused)
            else f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
        )
        if problem != self._last_problem:
            # The same problem every half minute would hide everything else.
            self._last_problem = problem
            self._log.warn(
                "{event}: no tunnel to {address}: {problem}",
                event="tunnel_failed",
                address=str(self._address),
                problem=problem,
                fault="operator",
            )
        self._again()

    def _again(self) -> None:
        if self._stopped or self._waiting is not None or self._connecting is not None:
            return
        delay = self._delay(self._attempts)
        self._attempts += 1
        self._waiting = self._reactor.callLater(delay, self.start)


class Supervisor:
    """
    All tunnels of one connector.

    @param addresses: C{host:port}, each dialled once.
    """

    def __init__(
        self,
        reactor: Any,
        schedule: Schedule,
        addresses: Sequence[str],
        identity: Callable[[], Identity],
        make_end: Callable[[str], TunnelEnd],
        settings: TunnelSettings,
    ) -> None:
        self._dialers = [
            TunnelDialer(reactor, schedule, HostPort.parse(address), identity, make_end, settings)
            for address in dict.fromkeys(addresses)
        ]

    def start(self) -> None:
        """Dial every address."""
        for dialer in self._dialers:
            dialer.start()

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """Let what is under way end."""
        return DeferredList([dialer.stop(drain_seconds) for dialer in self._dialers])

    @property
    def ends(self) -> list[TunnelEnd]:
        """Every open tunnel."""
        return [end for dialer in self._dialers for end in dialer.ends]

    def leaving(self, end: TunnelEnd) -> None:
        """A tunnel is about to be closed by the other side."""
        for dialer in self._dialers:
            if end in dialer.ends:
                dialer.leaving(end)


class _OneTunnel(Factory):
    noisy = False

    def __init__(self, build: Callable[[], TunnelProtocol]) -> None:
        self._build = build

    def buildProtocol(self, addr: object) -> TunnelProtocol:
        return self._build()
