"""
The edge's tunnels to relays elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.pki.certificates import BadCertificate, chain_from_pem, key_digest, read_request
from appproxy.pki.identity import Identity
from appproxy.pki.tunnel_peer import dial_tunnel, tunnel_peer
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.documents import RenewalAnswer, RenewalRequest, TunnelRow, write_catalog, write_renewal
from appproxy.relay.hub import rfc3339
from appproxy.relay.relay_link import RelayLink
from appproxy.relay.remote import RemoteOpener
from appproxy.relay.waiting import RevisionWaiters
from appproxy.transport.addresses import HostPort
from appproxy.transport.peer import identity_of
from appproxy.transport.turn import Schedule
from appproxy.tunnel.dialer import Dialling, TunnelDialers
from appproxy.tunnel.settings import MIB, TunnelSettings

RELAY: Final = frozenset({"relay"})

SETTINGS: Final = TunnelSettings(growth_limit=256 * MIB)
"""The answers to all requests come through these few tunnels."""


DialTunnel = Callable[[Any, str, Identity, IProtocolFactory, frozenset[str]], Deferred[Any]]
"""L{appproxy.pki.tunnel_peer.dial_tunnel}."""


class Renew(Protocol):
    """L{appproxy.pki.authority.Authority.renew}."""

    def __call__(
        self, holder_id: str, csr_pem: bytes, *, host_name: str = "", roots: Collection[str] = ()
    ) -> Deferred[bytes]: ...


class RelayDialers:
    """
    Keeps a tunnel to every relay, feeds it, and answers for its connectors' certificates.

    @param dial: C{host:port} of the relays.
    @param identity: the edge's, as it is now.
    @ivar opener: opens streams there.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        schedule: Schedule,
        dial: Sequence[str],
        identity: Callable[[], Identity],
        renew: Renew,
        connect: DialTunnel = dial_tunnel,
    ) -> None:
        self._clock = reactor
        self._identity = identity
        self._renew = renew
        self._catalog = RelayCatalog()
        self._document = b""
        self._started = False
        how = Dialling(
            reactor,
            schedule,
            "opener",
            SETTINGS,
            lambda address, above: connect(reactor, address, identity(), above, RELAY),
            lambda address: RelayLink(address, self),
            self._unfit,
        )
        self._dialers = TunnelDialers(how, [str(HostPort.parse(address)) for address in dial])
        self.traffic = how.traffic
        self._waiters = RevisionWaiters(self._is_live)
        self.opener = RemoteOpener(lambda: self._dialers.ends)
        self.live_revision = self._waiters.wait

    # -- for the edge

    def update(self, catalog: RelayCatalog) -> None:
        """Follow the catalog: tell relays, and leave those that are not trusted any more."""
        self._catalog = catalog
        self._document = write_catalog(catalog)
        for link, tunnel in self._dialers.tunnels:
            known = catalog.connectors.get(link.name)
            if known is None or known.revoked_at:
                tunnel.abort("the relay is not trusted any more")
            else:
                self._tell(link)
        if not self._started:
            # Before there is a registry, no relay would be trusted.
            self._started = True
            self._dialers.start()

    def tunnels(self) -> Sequence[Mapping[str, object]]:
        """The tunnels to relays, and those of connectors there, as C{status} shows them."""
        rows: list[dict[str, object]] = []
        behind: dict[str, Sequence[TunnelRow]] = {}
        for link, tunnel in self._dialers.tunnels:
            if link.up_since:
                rows.append(_row_of(link, tunnel.round_trip))
                # Of two tunnels to one relay, of which one takes over, the newer one knows better.
                behind[link.name] = link.rows or behind.get(link.name, ())
        return rows + [row.as_dict() for each in behind.values() for row in each]

    def link_to(self, connector: str) -> RelayLink | None:
        """The tunnel to a relay at which this connector has a tunnel that serves."""
        return next((link for link in self._dialers.ends if link.usable and link.leads_to(connector)), None)

    def replace(self, most_seconds: float) -> None:
        """The edge has another certificate; what goes through the present tunnels may go on for so long."""
        self._dialers.replace(most_seconds)

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """Let what is under way end, then close every tunnel."""
        return self._dialers.stop(drain_seconds)

    # -- RelayLinkOwner

    def relay_up(self, link: RelayLink) -> None:
        """The relay said HELLO: the catalog first, streams once that is applied."""
        link.up_since = self._clock.seconds()
        self._tell(link)

    def relay_changed(self, link: RelayLink) -> None:
        """The relay, or a connector there, may have caught up."""
        if link.settled:
            self._dialers.settled(link)
        self._waiters.check()

    def relay_leaving(self, link: RelayLink) -> None:
        """The relay is about to stop."""
        self._dialers.leaving(link)
        self._waiters.check()

    def relay_asks(self, link: RelayLink, payload: bytes) -> None:
        """The relay asks for a certificate: its own, or that of a connector which asked there."""
        try:
            request = RenewalRequest.model_validate_json(payload)
        except ValueError:
            self._log.warn(
                "{event}: {relay} sent no request", event="renewal_refused", relay=link.name, fault="peer"
            )
            return

        def answer(chain: bytes) -> None:
            link.send_renewed(write_renewal(RenewalAnswer(id=request.id, certificate=chain.decode())))

        def refuse(failure: Failure) -> None:
            why = failure.getErrorMessage()
            self._log.warn(
                "{event}: asked by {relay}: {why}",
                event="renewal_refused",
                relay=link.name,
                why=why,
                fault="operator",
            )
            link.send_renewed(write_renewal(RenewalAnswer(id=request.id, refused=why[:256])))

        renewing = Deferred.fromCoroutine(self._renewed(link, request))
        renewing.addCallbacks(answer, refuse)

    # -- inside

    def _unfit(self, link: RelayLink, transport: Any) -> str:
        """What is wrong with a relay that was dialled; its name, if nothing is."""
        peer = tunnel_peer(transport)
        if peer is None or peer.role not in RELAY:
            return "the server's certificate is not that of a relay"
        if self._catalog.trusted(peer.identity) is None:
            return "the relay is not trusted"
        link.name = peer.id
        return ""

    def _tell(self, link: RelayLink) -> None:
        try:
            link.send_config(self._catalog.revision, self._document)
        except ValueError as problem:
            self._log.error(
                "{event}: {relay}: {why}",
                event="catalog_too_large",
                relay=link.name,
                why=str(problem),
                fault="operator",
            )

    async def _renewed(self, link: RelayLink, request: RenewalRequest) -> bytes:
        csr, roots = request.csr.encode(), request.roots
        if not request.certificate:
            return await self._renew(link.name, csr, host_name=self._identity().connect_host, roots=roots)
        return await self._renew(self._connector_of(request.certificate.encode(), csr), csr, roots=roots)

    def _connector_of(self, certificate_pem: bytes, csr: bytes) -> str:
        """
        Whose certificate is to be renewed. A relay gets none for a key of its own: the request
        is signed with the key of a certificate that we issued to a connector.

        @raise BadCertificate: if it is not.
        @raise RequestRefused: if the request is flawed.
        """
        certificate = chain_from_pem(certificate_pem)[0]
        holder = identity_of(certificate)
        if holder is None or holder.role != "connector" or self._catalog.trusted(holder) is None:
            raise BadCertificate("the certificate is not that of a connector that is trusted")
        key: Any = certificate.public_key()
        if key_digest(key) != key_digest(read_request(csr)):
            raise BadCertificate("the request is for another key than the connector's")
        return holder.id

    def _is_live(self, revision: int) -> bool:
        return self._catalog.revision >= revision and all(
            link.has_live(revision) for link in self._dialers.ends if link.serving
        )


def _row_of(link: RelayLink, round_trip: float | None) -> dict[str, object]:
    return {
        "connector": link.name,
        "connector_group": "",
        "role": "relay",
        "address": link.address,
        "tunnel": link.tunnel,
        "since": rfc3339(link.up_since),
        "streams": link.load,
        "revision": link.applied_revision,
        "software": link.software,
        "round_trip_seconds": round_trip,
        "drained": False,
    }
