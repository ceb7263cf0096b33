"""
What lies between edge and connectors: a relay inside of the edge, or relays of
their own, which the edge and each connector dial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock

from appproxy.model.application import Connector
from appproxy.relay.accepting import AcceptedTunnel
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.dialers import RelayDialers
from appproxy.relay.edges import Edges
from appproxy.relay.hub import RelayHub
from appproxy.relay.local import LocalOpener
from appproxy.relay.opener import StreamOpener
from appproxy.transport.turn import Schedule
from appproxy.tunnel.protocol import TunnelProtocol
from tests.contract.memory import MemoryTransport
from tests.relay.support import Holder, Wires, holder

REPORT_SECONDS: Final = 0.2
"""Within this time the edge knows from a relay that a connector came or went."""

EDGE: Final = "edge-1"


class Tunnels(Protocol):
    """
    As L{appproxy.edge.tunnels.Tunnels}, for a rig.

    @ivar registry: those who are trusted besides the connectors.
    """

    opener: StreamOpener
    registry: Mapping[str, Connector]

    def update(self, catalog: RelayCatalog) -> None:
        """Another catalog, another registry."""

    def attach(self, connector: Holder, number: int, protocol: TunnelProtocol) -> MemoryTransport:
        """The connector with this number dials, until the edge can use its tunnel; its end."""

    def __iter__(self) -> Iterator[TunnelProtocol]:
        """Both ends of every tunnel, but for those that connectors dialled."""


class InsideTunnels:
    """The relay inside of the edge."""

    registry: Mapping[str, Connector] = {}

    def __init__(self, wires: Wires, schedule: Schedule) -> None:
        self._wires = wires
        self._hub = RelayHub(wires.clock, schedule, lambda _peer, _csr, _roots: fail(ValueError("not here")))
        self._accepted: list[TunnelProtocol] = []
        self.opener: StreamOpener = LocalOpener(self._hub.broker)
        self.update = self._hub.update

    def attach(self, connector: Holder, number: int, protocol: TunnelProtocol) -> MemoryTransport:
        """See L{Tunnels.attach}."""
        accepted = self._hub.accept()
        self._accepted.append(accepted)
        transport = self._wires.join(protocol, accepted, connector, holder("edge", EDGE))
        self._wires.run()
        return transport

    def __iter__(self) -> Iterator[TunnelProtocol]:
        return iter(self._accepted)


class Relay:
    """
    A relay of its own.

    @ivar edges: all of it.
    @ivar is_there: whether somebody listens at its port.
    @ivar lines: the edge's connections to it.
    """

    def __init__(self, name: str, clock: Clock, schedule: Schedule) -> None:
        self.holder = holder("relay", name)
        self.is_there = True
        self.lines: list[MemoryTransport] = []
        self._clock = clock
        self._schedule = schedule
        self.edges = Edges(clock, schedule)

    def restart(self) -> None:
        """End at once, and come back without any memory."""
        self.cut()
        self.edges.stop()
        self.edges = Edges(self._clock, self._schedule)

    def cut(self) -> None:
        """The line to the edge breaks."""
        for line in self.lines:
            line.abortConnection()
        self.lines.clear()

    def drain(self, seconds: float = 30.0) -> None:
        """Begin to stop, as the daemon does: no new connections, then the tunnels."""
        self.is_there = False
        self.edges.drain(seconds)


class RemoteTunnels:
    """
    Relays of their own.

    @ivar relays: those; connectors dial one each, in turn.
    """

    def __init__(self, wires: Wires, schedule: Schedule, number: int) -> None:
        self._wires = wires
        self.relays = [Relay(f"relay-{each + 1}", wires.clock, schedule) for each in range(number)]
        self._by_address = {f"{relay.holder.id}.example:443": relay for relay in self.relays}
        holders = [holder("edge", EDGE), *(relay.holder for relay in self.relays)]
        self.registry: Mapping[str, Connector] = {each.id: each.record() for each in holders}
        self._tunnels: list[TunnelProtocol] = []
        identity: Any = None
        self._dialers = RelayDialers(
            wires.clock,
            schedule,
            list(self._by_address),
            lambda: identity,
            lambda _holder, _csr, host_name="", roots=(): fail(ValueError("not here")),
            lambda _reactor, address, _identity, above, _roles: self._dial(address, above),
        )
        self.opener: StreamOpener = self._dialers.opener

    def update(self, catalog: RelayCatalog) -> None:
        """See L{Tunnels.update}."""
        self._dialers.update(catalog)
        self._wires.run()

    def attach(self, connector: Holder, number: int, protocol: TunnelProtocol) -> MemoryTransport:
        """See L{Tunnels.attach}."""
        relay = self.relays[number % len(self.relays)]
        transport = self._wires.join(protocol, self._accept(relay), connector, relay.holder)
        self.settle()
        return transport

    def settle(self) -> None:
        """Until the edge knows what there is."""
        self._wires.run()
        self._wires.pass_time(REPORT_SECONDS)

    def __iter__(self) -> Iterator[TunnelProtocol]:
        return iter(self._tunnels)

    def _accept(self, relay: Relay) -> AcceptedTunnel:
        accepted = relay.edges.accept()
        self._tunnels.append(accepted)
        return accepted

    def _dial(self, address: str, above: IProtocolFactory) -> Deferred[Any]:
        relay = self._by_address[address]
        if not relay.is_there:
            return fail(ConnectionRefusedError("nobody listens"))
        protocol: Any = above.buildProtocol(None)  # type: ignore[arg-type]
        self._tunnels.append(protocol)
        transport = self._wires.join(protocol, self._accept(relay), holder("edge", EDGE), relay.holder)
        relay.lines.append(transport)
        return succeed(protocol)


def make_tunnels(wires: Wires, schedule: Schedule, relays: int) -> Tunnels:
    """
    One or the other.

    @param relays: how many of their own; 0 for one inside of the edge.
    """
    return RemoteTunnels(wires, schedule, relays) if relays else InsideTunnels(wires, schedule)
