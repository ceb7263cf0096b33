"""
Connections that come through a balancer, which says before their first byte whose they are.

Only listed balancers are believed, and these have to say it: whoever else sends such a header has sent
bytes that are no TLS and no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.address import IPv6Address as IPv6Peer
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.transport import proxy_header
from appproxy.transport.proxy_header import NEED_MORE, NO_HEADER, ProxyHeader

Networks = Sequence[IPv4Network | IPv6Network]
"""Of balancers."""

HEADER_SECONDS: Final = 5.0
"""From the accepted connection to the whole header: balancers send it at once, from nearby."""

MAXIMUM_WAITING: Final = 1000
"""Connections without their header yet: the balancers' own, each for some milliseconds."""

_log: Final = Logger()


def is_listed(peer: IAddress, networks: Networks) -> bool:
    """Whether a peer is one of the balancers; an IPv4 address on an IPv6 socket is an IPv4 address."""
    try:
        address = ip_address(str(getattr(peer, "host", "")).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


class BalancedFactory(Factory):
    """Reads the header of a listed balancer's connections; everybody else's go straight on."""

    noisy = False

    def __init__(self, above: Factory, balancers: Networks, clock: IReactorTime) -> None:
        """
        @param above: builds the protocols, for the client's address.
        """
        self.above = above
        self.clock = clock
        self.waiting = 0
        self._balancers = balancers

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A protocol, or L{None}, upon which the connection is closed."""
        assert addr is not None, "an accepted connection has a peer"
        if not is_listed(addr, self._balancers):
            return self.above.buildProtocol(addr)  # type: ignore[return-value]
        return Balanced(self, addr) if self.waiting < MAXIMUM_WAITING else None


class Balanced(Protocol):
    """Waits for the header, then lets the protocol for the client take its place."""

    transport: Any

    def __init__(self, factory: BalancedFactory, balancer: IAddress) -> None:
        self._factory = factory
        self._balancer = balancer
        self._received = b""
        self._waits = True
        factory.waiting += 1
        self._deadline = factory.clock.callLater(HEADER_SECONDS, self._refuse, "late")

    def dataReceived(self, data: bytes) -> None:
        """Collect until the header is whole."""
        if not self._waits:
            return
        self._received += data
        header = proxy_header.read(self._received)
        if header is NEED_MORE:
            return
        if header is NO_HEADER:
            self._refuse("none")
        else:
            assert isinstance(header, ProxyHeader)
            self._go_on(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The balancer gave up."""
        self._stop_waiting()

    def _go_on(self, header: ProxyHeader) -> None:
        self._stop_waiting()
        client = _client(header, self._balancer)
        above = self._factory.above.buildProtocol(client)
        if above is None:
            self.transport.abortConnection()
            return
        transport, rest = self.transport, self._received[header.size :]
        transport.getPeer = lambda: client
        transport.protocol = above
        above.makeConnection(transport)
        if rest:
            above.dataReceived(rest)

    def _refuse(self, why: str) -> None:
        self._stop_waiting()
        _log.warn(
            "{event}: {peer} is listed in listen.proxy_protocol_from, but sent no such header ({why})",
            event="proxy_header_missing",
            fault="operator",
            peer=str(getattr(self._balancer, "host", "")),
            why=why,
        )
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            self._factory.waiting -= 1
            if self._deadline.active():
                self._deadline.cancel()


def _client(header: ProxyHeader, balancer: IAddress) -> IAddress:
    if not header.host:
        return balancer
    kind = IPv6Peer if ":" in header.host else IPv4Address
    return kind("TCP", header.host, header.port)
