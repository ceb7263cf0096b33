"""
Where the edge's streams go: tunnels that end in this process, or relays
elsewhere. The rest of the edge cannot tell which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IProtocol

from appproxy.pki.authority import Authority
from appproxy.pki.identity import Identity
from appproxy.pki.tunnel_peer import dial_tunnel
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.dialers import RelayDialers
from appproxy.relay.hub import RelayHub
from appproxy.relay.link import ConnectorLink
from appproxy.relay.local import LocalOpener
from appproxy.relay.opener import StreamOpener
from appproxy.relay.relay_link import RelayLink
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.turn import Schedule
from appproxy.tunnel.traffic import Traffic


class Tunnels(Protocol):
    """
    @ivar opener: opens streams.
    @ivar accept: makes the protocol of a connector's tunnel; L{None} where they end elsewhere.
    @ivar addresses: what join tokens tell newcomers to dial.
    @ivar traffic: what went through the tunnels.
    @ivar dialled: what connectors then dial for their tunnels; empty where that is the same.
    """

    opener: StreamOpener
    accept: Callable[[], IProtocol] | None
    addresses: Sequence[str]
    dialled: Sequence[str]
    traffic: Traffic

    def update(self, catalog: RelayCatalog) -> None:
        """Another catalog, another registry."""

    def tunnels(self) -> Sequence[Mapping[str, object]]:
        """Every tunnel, as C{status} shows it."""

    def link_to(self, connector: str) -> ConnectorLink | RelayLink | None:
        """The tunnel by which this connector can be asked something."""

    def live_revision(self, revision: int) -> Deferred[None]:
        """Fires once every connector serves this revision."""

    def replace(self, most_seconds: float) -> None:
        """The edge has another certificate; what was begun under the former one may go on for so long."""

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """Let what is under way end, then close every tunnel."""


class InsideTunnels:
    """The relay inside of the edge."""

    def __init__(self, reactor: Any, schedule: Schedule, authority: Authority, address: str) -> None:
        self._hub = RelayHub(
            reactor, schedule, lambda peer, csr, roots: authority.renew(peer.id, csr, roots=roots)
        )
        self.opener: StreamOpener = LocalOpener(self._hub.broker)
        self.accept: Callable[[], IProtocol] | None = self._hub.accept
        self.addresses: Sequence[str] = (address,)
        self.dialled: Sequence[str] = ()
        self.traffic = self._hub.traffic
        self.update = self._hub.update
        self.tunnels = self._hub.tunnels
        self.link_to = self._hub.link_to
        self.live_revision = self._hub.live_revision

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """See L{Tunnels.stop}."""
        return DeferredList(self._hub.drain(drain_seconds))

    def replace(self, most_seconds: float) -> None:
        """Nothing: connectors see the new one when they dial anew, for one of their own at the latest."""


class RemoteTunnels:
    """
    Relays elsewhere, which the edge dials.

    @param dial: C{host:port} of the relays.
    """

    def __init__(
        self,
        reactor: Any,
        schedule: Schedule,
        authority: Authority,
        identity: Callable[[], Identity],
        dial: Sequence[str],
        address: str,
        tls: TlsLayer,
    ) -> None:
        connect = partial(dial_tunnel, tls=tls)
        self._dialers = RelayDialers(reactor, schedule, dial, identity, authority.renew, connect)
        self.opener: StreamOpener = self._dialers.opener
        self.accept: Callable[[], IProtocol] | None = None
        self.addresses: Sequence[str] = (address,)
        self.dialled: Sequence[str] = tuple(dial)
        self.traffic = self._dialers.traffic
        self.update = self._dialers.update
        self.tunnels = self._dialers.tunnels
        self.link_to = self._dialers.link_to
        self.live_revision = self._dialers.live_revision
        self.replace = self._dialers.replace

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """See L{Tunnels.stop}."""
        return self._dialers.stop(drain_seconds)
