"""
The relay's heart: accepts connectors' tunnels, tells each what its group serves,
and closes the tunnels of whoever is not trusted any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.relay.broker import Broker
from appproxy.relay.catalog import EMPTY_GROUP, RelayCatalog
from appproxy.relay.link import ConnectorLink
from appproxy.transport.peer import PeerIdentity, peer_identity
from appproxy.transport.turn import Schedule
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings

Renew = Callable[[str, bytes], Deferred[bytes]]
"""Holder's id and signing request (PEM) in, certificate chain (PEM) out."""


class AcceptedTunnel(TunnelProtocol):
    """A tunnel that a connector dialled. Who it is is settled before its first byte is read."""

    def __init__(self, hub: RelayHub) -> None:
        self._hub = hub
        self.link: ConnectorLink | None = None
        TunnelProtocol.__init__(self, self._make_session, hub.clock, hub.schedule)

    def connectionMade(self) -> None:
        """Refuse whom the registry does not know."""
        transport: Any = self.transport
        identity = peer_identity(transport)
        connector = self._hub.catalog.trusted(identity) if identity is not None else None
        if identity is None or connector is None or identity.role != "connector":
            self._hub.refused(identity)
            self.dataReceived = lambda data: None  # type: ignore[method-assign]
            self.connectionLost = lambda reason=None: None  # type: ignore[method-assign]
            transport.abortConnection()
            return
        self.link = ConnectorLink(
            identity.id, connector.name, connector.group, identity.fingerprint, self._hub
        )
        self.link.abort = self.abort
        self.link.timed = self.pong
        self.link.address = str(getattr(transport.getPeer(), "host", ""))
        self._hub.entered(self)
        super().connectionMade()
        self.lost.addCallback(lambda why: self._hub.link_lost(self, why))

    def _make_session(self, wake: Callable[[], None]) -> TunnelSession:
        assert self.link is not None
        session = TunnelSession("opener", self._hub.settings, self.link, wake)
        self.link.attached(session)
        return session


class RelayHub:
    """
    @ivar catalog: what the relay knows now.
    @ivar broker: the tunnels that are up.
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
        self._renew = renew
        self._tunnels: set[AcceptedTunnel] = set()
        self._waiting: list[tuple[int, Deferred[None]]] = []

    # -- for the daemon

    def accept(self) -> AcceptedTunnel:
        """The protocol for one more tunnel."""
        return AcceptedTunnel(self)

    def update(self, catalog: RelayCatalog) -> None:
        """Follow the catalog: tell connectors, and close what is not trusted any more."""
        self.catalog = catalog
        for tunnel in list(self._tunnels):
            link = tunnel.link
            assert link is not None
            known = catalog.connectors.get(link.connector)
            if known is None or known.revoked_at:
                tunnel.abort("the connector is not trusted any more")
            elif known.group != link.group:
                tunnel.abort("the connector serves another group now")
            else:
                self._tell(link)
        self._check_live()

    def drain(self, timeout_seconds: float) -> list[Deferred[str]]:
        """Let the streams of every tunnel end, then close it."""
        return [tunnel.drain(timeout_seconds) for tunnel in list(self._tunnels)]

    def tunnels(self) -> list[dict[str, object]]:
        """Every tunnel, as C{status} shows it."""
        return [
            {
                "connector": link.connector,
                "connector_group": link.group,
                "role": "connector",
                "address": link.address,
                "since": _rfc3339(link.up_since),
                "streams": link.load,
                "revision": link.live_revision,
                "software": link.software,
                "round_trip_seconds": tunnel.round_trip,
            }
            for tunnel in self._tunnels
            if (link := tunnel.link) is not None and link.up_since
        ]

    def live_revision(self, revision: int) -> Deferred[None]:
        """
        @return: fires once every tunnel's connector has applied this revision or has
            nothing new in it; may be cancelled.
        """
        if self._is_live(revision):
            return succeed(None)
        entry: tuple[int, Deferred[None]]
        waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove(entry))
        entry = (revision, waiting)
        self._waiting.append(entry)
        return waiting

    # -- for tunnels and links

    def refused(self, identity: PeerIdentity | None) -> None:
        """A certificate that chains to our CA, and yet is not trusted."""
        self._log.warn(
            "{event}: {role} {id} is not trusted",
            event="tunnel_refused",
            role=identity.role if identity else "",
            id=identity.id if identity else "",
            fault="peer",
        )

    def entered(self, tunnel: AcceptedTunnel) -> None:
        """A tunnel of somebody trusted."""
        self._tunnels.add(tunnel)

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
            )
        self._check_live()

    def link_renew(self, link: ConnectorLink, payload: bytes) -> None:
        """The connector asks for its next certificate."""
        try:
            csr = json.loads(payload)["csr"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            self._log.warn("{event}: no signing request", event="renewal_refused", fault="peer")
            return
        renewing = self._renew(link.connector, csr)
        renewing.addCallback(
            lambda chain: link.send_renewed(json.dumps({"certificate": chain.decode()}).encode())
        )
        renewing.addErrback(
            lambda failure: self._log.warn(
                "{event}: {connector}: {why}",
                event="renewal_refused",
                connector=link.name,
                why=failure.getErrorMessage(),
                fault="operator",
            )
        )

    def link_lost(self, tunnel: AcceptedTunnel, why: str) -> None:
        """The connection is gone."""
        link = tunnel.link
        assert link is not None
        self._tunnels.discard(tunnel)
        was_up = link in self.broker
        self.broker.detach(link)
        if was_up:
            self._log.info(
                "{event}: connector {connector} of group {connector_group}: {reason}",
                event="tunnel_down",
                connector=link.name,
                connector_group=link.group,
                reason=why,
            )
        self._check_live()

    def _tell(self, link: ConnectorLink) -> None:
        link.send_config(self.catalog.revision, self.catalog.groups.get(link.group, EMPTY_GROUP))

    def _is_live(self, revision: int) -> bool:
        return self.catalog.revision >= revision and all(
            link.live_revision >= revision for link in self.broker if link.usable
        )

    def _check_live(self) -> None:
        for entry in list(self._waiting):
            if self._is_live(entry[0]):
                self._waiting.remove(entry)
                entry[1].callback(None)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
