"""
The edges that are attached to a relay of its own: they feed it, and use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from appproxy.pki.tunnel_peer import TunnelPeer
from appproxy.relay.accepting import AcceptedEnd, AcceptedTunnel, NotAdmitted
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.documents import read_catalog, write_report
from appproxy.relay.edge_link import EDGE_NUMBERS, EdgeLink
from appproxy.relay.forwarder import Forwarder
from appproxy.relay.hub import RelayHub, row_of
from appproxy.relay.renewals import Renewals
from appproxy.transport.turn import Schedule
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream

EDGELESS_SECONDS: Final = 60.0
"""An edge restarts within this time; a relay that nobody feeds longer trusts nobody any more."""

REPORT_SOON_SECONDS: Final = 0.1
"""A thousand connectors that apply one change make a few reports, not a thousand."""

REPORT_SECONDS: Final = 10.0
"""The numbers of streams are this fresh in C{status}."""


class Edges:
    """
    A relay of its own: both kinds of tunnels, and what lies between them.

    An L{appproxy.relay.accepting.Host} and an L{appproxy.relay.edge_link.EdgeOwner}.

    @ivar hub: the connectors' tunnels.
    @ivar renewals: certificates, from whatever edge is there.
    @ivar told: is called with every catalog that is followed.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, schedule: Schedule, settings: TunnelSettings | None = None
    ) -> None:
        self.clock = clock
        self.schedule = schedule
        self.renewals = Renewals(clock)
        self.hub = RelayHub(clock, schedule, self.renewals.of_connector, settings)
        self.hub.changed = self._report_soon
        self.told: Callable[[RelayCatalog], None] = lambda _catalog: None
        self._forwarder = Forwarder(self.hub.broker, clock)
        self._tunnels: dict[EdgeLink, AcceptedTunnel] = {}
        self._up: list[EdgeLink] = []
        self._last_number = 0
        self._is_fed = False
        self._alone: IDelayedCall | None = None
        self._report: IDelayedCall | None = None

    # -- for the daemon

    def accept(self) -> AcceptedTunnel:
        """The protocol for one more tunnel."""
        return AcceptedTunnel(self)

    def admit(self, peer: TunnelPeer, tunnel: AcceptedTunnel) -> AcceptedEnd:
        """See L{appproxy.relay.accepting.Host.admit}."""
        if peer.role != "edge":
            if not self.hub.catalog.registry_revision:
                raise NotAdmitted("no edge has said yet who is trusted", "operator")
            return self.hub.admit(peer, tunnel)
        if self._is_revoked(peer):
            raise NotAdmitted("it is revoked")
        edge = EdgeLink(peer, tunnel.peer_host, self._free_number(), self)
        self._tunnels[edge] = tunnel
        return edge

    @property
    def attached(self) -> int:
        """How many edges' tunnels are up."""
        return len(self._up)

    def drain(self, timeout_seconds: float) -> Deferred[Any]:
        """
        Let the streams of every tunnel end, then close it: the edges' first, since what is on its way from
        one still has to find a connector.
        """
        self._cancel_timers()
        ends_at = self.clock.seconds() + timeout_seconds
        edges = DeferredList([tunnel.retire(timeout_seconds) for tunnel in list(self._tunnels.values())])
        return edges.addCallback(
            lambda _: DeferredList(self.hub.drain(max(0.0, ends_at - self.clock.seconds())))
        )

    def stop(self) -> None:
        """Wait for nothing any longer."""
        self._cancel_timers()
        self.renewals.stop()

    # -- EdgeOwner

    def edge_up(self, edge: EdgeLink) -> None:
        """The edge said HELLO."""
        self._up.append(edge)
        self.renewals.attached(edge)
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None
        self._log.info(
            "{event}: edge {edge} from {client_address}",
            event="edge_attached",
            edge=edge.peer.id,
            client_address=edge.address,
        )
        self._report_soon()

    def edge_config(self, edge: EdgeLink, revision: int, payload: bytes) -> None:
        """
        The edge tells the catalog; of all that are attached the newest counts.

        Only an edge that may open every group is believed: the registry is one.
        """
        try:
            told = read_catalog(revision, payload)
        except ValueError as problem:
            raise TunnelError("bad_message", str(problem)) from problem
        if edge.peer.opens_all:
            self._follow(told.newer_of(self.hub.catalog) if self._is_fed else told)
            self._is_fed = True
        edge.send_applied(revision)

    def edge_opened(self, edge: EdgeLink, stream: Stream, message: OpenMessage) -> None:
        """The edge opened a stream."""
        self._forwarder.opened(edge, stream, message)

    def edge_renewed(self, edge: EdgeLink, payload: bytes) -> None:
        """The edge answers a request for a certificate."""
        self.renewals.answered(edge, payload)

    def edge_lost(self, edge: EdgeLink, why: str) -> None:
        """The connection is gone; when it was the last one, nobody says any longer who is trusted."""
        self._tunnels.pop(edge, None)
        if edge not in self._up:
            return
        self._up.remove(edge)
        self.renewals.lost(edge)
        self._log.info("{event}: edge {edge}: {reason}", event="edge_lost", edge=edge.peer.id, reason=why)
        if not self._up:
            self._is_fed = False
            self._alone = self.clock.callLater(EDGELESS_SECONDS, self._nobody_came)

    # -- inside

    def _follow(self, catalog: RelayCatalog) -> None:
        self.hub.update(catalog)
        for edge, tunnel in list(self._tunnels.items()):
            if self._is_revoked(edge.peer):
                tunnel.abort("the edge is not trusted any more")
        self._forwarder.follow(catalog)
        self.told(catalog)

    def _is_revoked(self, peer: TunnelPeer) -> bool:
        """Whether the registry, as far as it is known, speaks against an edge."""
        known = self.hub.catalog.connectors.get(peer.id)
        return known is not None and (bool(known.revoked_at) or known.role != peer.role)

    def _free_number(self) -> int:
        taken = {edge.number for edge in self._tunnels}
        while True:
            self._last_number = (self._last_number + 1) % EDGE_NUMBERS
            if self._last_number not in taken:
                return self._last_number

    def _nobody_came(self) -> None:
        self._alone = None
        self._log.warn(
            "{event}: no edge for {seconds} s, closing the connectors' tunnels",
            event="edges_gone",
            seconds=EDGELESS_SECONDS,
            fault="operator",
        )
        self.hub.close("the relay has no edge")
        self._follow(RelayCatalog())

    # -- reports

    def _report_soon(self) -> None:
        self._report_within(REPORT_SOON_SECONDS)

    def _report_within(self, seconds: float) -> None:
        if not self._up:
            return
        due = self.clock.seconds() + seconds
        if self._report is not None:
            if self._report.getTime() <= due:
                return
            self._report.cancel()
        self._report = self.clock.callLater(seconds, self._send_report)

    def _send_report(self) -> None:
        self._report = None
        links = self.hub.links.items()
        rows = [{**row_of(link, tunnel), "serving": link.serving} for link, tunnel in links if link.up_since]
        payload = write_report(rows)
        for edge in self._up:
            try:
                edge.send_report(self.hub.catalog.revision, payload)
            except ValueError as problem:
                self._log.error("{event}: {why}", event="report_too_large", why=str(problem), fault="ours")
        self._report_within(REPORT_SECONDS)

    def _cancel_timers(self) -> None:
        for timer in (self._alone, self._report):
            if timer is not None and timer.active():
                timer.cancel()
        self._alone = self._report = None
