"""
The relay's heart: accepts connectors' tunnels, tells each what its group serves,
and closes the tunnels of whoever is not trusted any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.pki.tunnel_peer import TunnelPeer
from appproxy.relay.accepting import AcceptedTunnel, NotAdmitted
from appproxy.relay.broker import Broker
from appproxy.relay.catalog import EMPTY_GROUP, RelayCatalog
from appproxy.relay.link import ConnectorLink
from appproxy.relay.waiting import RevisionWaiters
from appproxy.transport.turn import Schedule
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.traffic import Traffic

Renew = Callable[[TunnelPeer, bytes, Sequence[str]], Deferred[bytes]]
"""
The connector, its signing request (PEM) and the hashes of the roots that it trusts in, certificate
chain (PEM) out.
"""

MAXIMUM_ROOTS: Final = 8
"""As many as a connector is told at most."""


class RelayHub:
    """
    @ivar catalog: what the relay knows now.
    @ivar broker: the tunnels that are up.
    @ivar links: every connector's tunnel, also those that are not up yet.
    @ivar traffic: what went through them.
    @ivar changed: is called when another tunnel or revision is there, or gone.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        schedule: Schedule,
        renew: Renew,
        settings: TunnelSettings | None = None,
    ) -> None:
        self.clock = clock
        self.schedule = schedule
        self.settings = settings or TunnelSettings()
        self.catalog = RelayCatalog()
        self.broker = Broker()
        self.links: dict[ConnectorLink, AcceptedTunnel] = {}
        self.changed: Callable[[], None] = lambda: None
        self.traffic = Traffic()
        self._renew = renew
        self._waiters = RevisionWaiters(self._is_live)
        self.live_revision = self._waiters.wait

    # -- for the daemon

    def accept(self) -> AcceptedTunnel:
        """The protocol for one more tunnel."""
        return AcceptedTunnel(self)

    def admit(self, peer: TunnelPeer, tunnel: AcceptedTunnel) -> ConnectorLink:
        """See L{appproxy.relay.accepting.Host.admit}."""
        known = self.catalog.trusted(peer.identity)
        if known is None or peer.role != "connector":
            raise NotAdmitted("it is not trusted", goodbye=self.catalog.doubt(peer.identity))
        link = ConnectorLink(peer, known, tunnel.peer_host, self)
        link.drained = peer.id in self.catalog.drained
        self.links[link] = tunnel
        self.traffic.follow(tunnel)
        return link

    def update(self, catalog: RelayCatalog) -> None:
        """Follow the catalog: tell connectors, and close what is not trusted any more."""
        self.catalog = catalog
        for link, tunnel in list(self.links.items()):
            known = catalog.connectors.get(link.connector)
            if known is None or known.revoked_at:
                # The connector should know that there is nothing to come back for.
                tunnel.drain(0.0, catalog.doubt(link.peer.identity))
            elif known.group != link.group:
                tunnel.abort("the connector serves another group now")
            else:
                link.drained = link.connector in catalog.drained
                self._tell(link)
        self._check_live()

    def close(self, why: str) -> None:
        """Break off every tunnel."""
        for tunnel in list(self.links.values()):
            tunnel.abort(why)

    def drain(self, timeout_seconds: float) -> list[Deferred[str]]:
        """Let the streams of every tunnel end, then close it."""
        return [tunnel.drain(timeout_seconds) for tunnel in list(self.links.values())]

    def tunnels(self) -> list[dict[str, object]]:
        """Every tunnel, as C{status} shows it."""
        return [row_of(link, tunnel) for link, tunnel in self.links.items() if link.up_since]

    def link_to(self, connector: str) -> ConnectorLink | None:
        """A tunnel of this connector, if it has one that serves."""
        return next((link for link in self.links if link.connector == connector and link.usable), None)

    # -- LinkOwner

    def link_up(self, link: ConnectorLink) -> None:
        """The peer said HELLO: its catalog first, its streams once that is applied."""
        link.up_since = self.clock.seconds()
        self._tell(link)

    def link_applied(self, link: ConnectorLink) -> None:
        """The connector serves a catalog now."""
        if link not in self.broker:
            self.broker.attach(link)
            self._log.info(
                "{event}: connector {connector} of group {connector_group} from {client_address}",
                event="tunnel_up",
                connector=link.name,
                connector_group=link.group,
                client_address=link.address,
                tunnel=link.tunnel,
            )
        self._check_live()

    def link_renew(self, link: ConnectorLink, payload: bytes) -> None:
        """The connector asks for its next certificate."""
        try:
            request = json.loads(payload)
            csr = request["csr"].encode()
            # A connector that is older than this says nothing of roots.
            roots = [str(each)[:64] for each in request.get("roots", ())][:MAXIMUM_ROOTS]
        except (ValueError, KeyError, TypeError, AttributeError):
            self._log.warn("{event}: no signing request", event="renewal_refused", fault="peer")
            return
        if link.is_renewing:
            return

        def renewed(chain: bytes) -> None:
            link.send_renewed(json.dumps({"certificate": chain.decode()}).encode())

        def refused(failure: Failure) -> None:
            self._log.warn(
                "{event}: {connector}: {why}",
                event="renewal_refused",
                connector=link.name,
                why=failure.getErrorMessage(),
                fault="operator",
            )

        def over(_: object) -> None:
            link.is_renewing = False

        link.is_renewing = True
        self._renew(link.peer, csr, roots).addCallback(renewed).addErrback(refused).addCallback(over)

    def link_leaving(self, link: ConnectorLink) -> None:
        """The connector is about to stop."""
        self._check_live()

    def link_lost(self, link: ConnectorLink, why: str) -> None:
        """The connection is gone."""
        self.links.pop(link, None)
        was_up = link in self.broker
        self.broker.detach(link)
        if was_up:
            self._log.info(
                "{event}: connector {connector} of group {connector_group}: {reason}",
                event="tunnel_down",
                connector=link.name,
                connector_group=link.group,
                reason=why,
                tunnel=link.tunnel,
            )
        self._check_live()

    # -- inside

    def _tell(self, link: ConnectorLink) -> None:
        link.send_config(self.catalog.revision, self.catalog.groups.get(link.group, EMPTY_GROUP))

    def _is_live(self, revision: int) -> bool:
        return self.catalog.revision >= revision and all(
            link.live_revision >= revision for link in self.broker if link.serving
        )

    def _check_live(self) -> None:
        self._waiters.check()
        self.changed()


def row_of(link: ConnectorLink, tunnel: AcceptedTunnel) -> dict[str, object]:
    """A connector's tunnel, as C{status} shows it."""
    return {
        "connector": link.connector,
        "connector_group": link.group,
        "role": "connector",
        "address": link.address,
        "since": rfc3339(link.up_since),
        "streams": link.load,
        "revision": link.live_revision,
        "software": link.software,
        "round_trip_seconds": tunnel.round_trip,
        "drained": link.drained,
    }


def rfc3339(seconds: float) -> str:
    """A time in seconds since the epoch, as people and JSON have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
