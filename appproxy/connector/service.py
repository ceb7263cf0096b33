"""
The connector's life: its identity, its tunnels, its certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.defer import Deferred, DeferredLock, TimeoutError
from twisted.internet.task import LoopingCall

from appproxy.config.connector import ConnectorSettings
from appproxy.config.daemon import (
    EXIT_CONFIGURATION,
    EXIT_NOT_ENROLLED,
    CannotStart,
    DaemonOptions,
    DaemonService,
)
from appproxy.connector.allow_list import AllowList
from appproxy.connector.backends import Backends
from appproxy.connector.numbers import ConnectorNumbers
from appproxy.connector.served import CatalogCopy
from appproxy.connector.supervisor import Supervisor
from appproxy.connector.trails import Trails
from appproxy.connector.tunnel_end import TunnelEnd
from appproxy.connector.way_out import NoWayOut, WayOut
from appproxy.pki.certificates import BadCertificate, moment, rfc3339
from appproxy.pki.identity import Identity, NotEnrolled, load
from appproxy.pki.trust import follow_roots, read_announced
from appproxy.sso.modes import SignOns
from appproxy.transport.contexts import BadCertificate as BadAuthority
from appproxy.transport.layers import tls_layer
from appproxy.transport.steady import calendar_of
from appproxy.transport.turn import end_of_turn
from appproxy.transport.wheel import TimerWheel
from appproxy.tunnel.settings import TunnelSettings

if TYPE_CHECKING:
    from appproxy.connector.kerberos_means import KerberosMeans
    from appproxy.sso.kerberos import Kerberos

RENEWAL_CHECK_SECONDS: Final = 3600.0
"""How often it is asked whether the certificate is due: a small part of its thirty days."""

NOT_TRUSTED_SECONDS: Final = 60.0
"""
How long a connector that no relay knows goes on trying: the news of an enrolment or of a
renewed certificate takes moments.
"""

ASK_AGAIN_SECONDS: Final = 10.0
"""How long the answer to a question for a certificate is waited for: two would be two certificates."""

READY_AFTER_SECONDS: Final = 10.0
"""Ready without a tunnel too: systemd should not kill a connector whose edge is away."""


class _Asked(NamedTuple):
    """A question for the next certificate after this one, over a tunnel."""

    identity: Identity
    end: TunnelEnd
    at: float

    def still_waits(self, identity: Identity, ends: Sequence[TunnelEnd], seconds: float) -> bool:
        """Whether the answer may still come."""
        return self.identity is identity and self.end in ends and seconds - self.at < ASK_AGAIN_SECONDS


class ConnectorService(DaemonService):
    """The inside, from its configuration."""

    def __init__(self, reactor: Any, options: DaemonOptions) -> None:
        DaemonService.__init__(self, reactor, options)
        self._settings: ConnectorSettings = options.settings
        self._tls = tls_layer(self._settings.tls.transport, reactor)
        self._wheel = TimerWheel(reactor)
        self._calendar = calendar_of(reactor)
        self._identity: Identity | None = None
        self._supervisor: Supervisor | None = None
        self._numbers = ConnectorNumbers()
        self._renewing = LoopingCall(self._renew_if_due)
        self._renewing.clock = reactor
        self._first_tunnel: Deferred[None] = Deferred()
        self._refused_since: float | None = None
        self._asked: _Asked | None = None
        self._means: KerberosMeans | None = None
        self._way_out: WayOut | None = None

    async def start(self) -> None:
        """Load the identity and dial."""
        settings = self._settings
        identity = self._identity = self._load_identity()
        self._log.info(
            "{event}: connector {connector} of group {connector_group}",
            event="starting",
            connector=identity.name,
            connector_group=identity.group,
        )
        allow_list = AllowList.parse(settings.allowed_backends, settings.names_resolve_into)
        sign_ons = SignOns(settings.allowed_sso, self._kerberos())
        backends = self._backends(allow_list)
        trails = Trails(self.reactor.seconds)
        explaining = DeferredLock()

        def make_end(address: str) -> TunnelEnd:
            catalog = CatalogCopy(allow_list, sign_ons, backends.pool)
            return TunnelEnd(address, catalog, self._wheel, self, self._numbers.served, trails, explaining)

        try:
            supervisor = self._supervisor = Supervisor(
                self.reactor,
                end_of_turn(self.reactor),
                (*identity.addresses, *settings.connect),
                self._current_identity,
                make_end,
                TunnelSettings(max_streams=settings.limits.streams),
                self._tls,
                self._find_way_out().proxy,
            )
        except ValueError as error:
            raise CannotStart(EXIT_NOT_ENROLLED, f"the identity's addresses: {error}") from error
        self._numbers.watch(supervisor, self._seconds_left)
        self._numbers.watch_sign_on(sign_ons, self._means.tickets if self._means is not None else None)
        await self.start_metrics(
            settings.metrics.listen,
            self._numbers.metrics,
            lambda: any(end.catalog.revision for end in supervisor.ends),
        )
        supervisor.start()
        self._renewing.start(RENEWAL_CHECK_SECONDS, now=False)
        try:
            await self._first_tunnel.addTimeout(READY_AFTER_SECONDS, self.reactor)
        except TimeoutError:
            # Ready all the same: it goes on dialling.
            pass
        self._log.info("{event}: {tunnels} tunnels", event="ready", tunnels=len(supervisor.ends))
        self.notifier.ready()

    async def stop(self) -> None:
        """Let what is under way end."""
        self._log.info("{event}", event="draining")
        if self._renewing.running:
            self._renewing.stop()
        if self._supervisor is not None:
            await self._supervisor.stop(self._settings.limits.drain_timeout)
        if self._way_out is not None:
            self._way_out.close()
        if self._means is not None:
            self._means.close()
        await self.stop_metrics()

    def reload(self) -> None:
        """It was enrolled anew, or its log file rotated away. A certificate that is due is asked for."""
        self._options.writer.reopen()
        try:
            self._use(self._load_identity())
        except CannotStart as error:
            self._log.error("{event}: {why}", event="config_rejected", why=str(error), fault="operator")
            return
        self._log.info("{event}", event="config_reloaded")
        self._renew_if_due()

    # -- TunnelOwner

    def tunnel_up(self, end: TunnelEnd) -> None:
        """A tunnel serves its catalog."""
        self._refused_since = None
        if self._supervisor is not None:
            self._supervisor.settled(end)
        if not self._first_tunnel.called:
            self._first_tunnel.callback(None)
        self._renew_if_due()

    def tunnel_leaving(self, end: TunnelEnd) -> None:
        """The other side is about to stop."""
        if self._supervisor is not None:
            self._supervisor.leaving(end)

    def tunnel_refused(self, end: TunnelEnd, reason: str) -> None:
        """
        A relay does not admit this connector. One that still serves another relay goes on:
        if it is true, that one will say so too.
        """
        self._log.warn(
            "{event}: by {address}: {reason}",
            event="tunnel_refused",
            address=end.address,
            reason=reason,
            fault="operator",
        )
        supervisor = self._supervisor
        if supervisor is None or any(
            other.catalog.revision and not other.leaving for other in supervisor.ends if other is not end
        ):
            return
        now = self.reactor.seconds()
        if self._refused_since is None:
            self._refused_since = now
        if reason == "revoked" or now - self._refused_since >= NOT_TRUSTED_SECONDS:
            self.give_up(
                EXIT_NOT_ENROLLED,
                "revoked",
                "this connector is not trusted any more: `appproxy enroll` with a new token makes it so",
            )

    def told_roots(self, roots: object) -> None:
        """The CA's roots: those that ours vouch for are trusted, too; those that are not named are not."""
        identity, announced = self._current_identity(), read_announced(roots)
        trusted = follow_roots(identity.roots, announced, self._calendar.seconds())
        if not trusted:
            if announced:
                self._log.warn("{event}: none of them is known here", event="roots_refused", fault="peer")
            return
        try:
            changed = identity.with_roots(trusted) if trusted != identity.roots else identity
        except OSError as error:
            self._log.error("{event}: {why}", event="roots_refused", why=str(error), fault="operator")
            return
        if changed.roots != identity.roots:
            self._identity = changed
            self._log.info("{event}: {count} trusted now", event="roots_changed", count=len(changed.roots))

    def renewed(self, certificate_pem: str) -> None:
        """A new certificate: new tunnels show it, and take over from those made with the old one."""
        identity = self._current_identity()
        try:
            self._use(identity.accept(certificate_pem.encode(), self._calendar.seconds()))
        except (BadCertificate, OSError) as error:
            self._log.error(
                "{event}: the new certificate is of no use: {why}",
                event="renewal_failed",
                why=str(error),
                fault="peer",
            )
            return
        ends_at = rfc3339(moment(self._current_identity().expires_at))
        self._log.info("{event}: until {expires_at}", event="renewed", expires_at=ends_at)

    # -- inside

    def _use(self, identity: Identity) -> None:
        """Show this from now on. What was begun under the former certificate may end while that is good."""
        former, self._identity = self._identity, identity
        if self._supervisor is not None and former is not None and former.fingerprint != identity.fingerprint:
            self._supervisor.replace(max(0.0, former.expires_at - self._calendar.seconds()))

    def _load_identity(self) -> Identity:
        try:
            identity = load(self._settings.identity)
            identity.check("connector", self._calendar.seconds())
        except NotEnrolled as error:
            raise CannotStart(EXIT_NOT_ENROLLED, str(error)) from error
        return identity

    def _current_identity(self) -> Identity:
        assert self._identity is not None, "loaded before anything dials"
        return self._identity

    def _kerberos(self) -> Kerberos | None:
        if "kerberos" not in self._settings.allowed_sso:
            return None
        # Most connectors have no use for it, and its libraries are large.
        from appproxy.connector.kerberos_means import CannotSignOn, KerberosMeans

        try:
            means = self._means = KerberosMeans(self._settings, self.reactor)
        except CannotSignOn as error:
            raise CannotStart(EXIT_CONFIGURATION, str(error)) from error
        return means.kerberos

    def _find_way_out(self) -> WayOut:
        try:
            way_out = self._way_out = WayOut(self._settings, self.reactor)
        except NoWayOut as error:
            raise CannotStart(EXIT_CONFIGURATION, str(error)) from error
        return way_out

    def _seconds_left(self) -> float:
        return self._current_identity().expires_at - float(self._calendar.seconds())

    def _backends(self, allow_list: AllowList) -> Backends:
        backend = self._settings.backend
        try:
            ca_pems = [path.read_bytes() for path in backend.ca_files]
            return Backends(
                self.reactor,
                self._wheel,
                allow_list,
                ca_pems,
                backend.connect_timeout,
                backend.idle_connections_per_application,
                backend.idle_timeout,
                self._tls,
            )
        except (OSError, BadAuthority) as error:
            raise CannotStart(EXIT_CONFIGURATION, f"backend.ca_files: {error}") from error

    def _renew_if_due(self) -> None:
        identity, supervisor, now = self._identity, self._supervisor, self._calendar.seconds()
        if identity is None or supervisor is None:
            return
        if not identity.renewal_due(now) and not identity.is_outdated:
            return
        try:
            identity.check("connector", now)
        except NotEnrolled as expired:
            self.give_up(EXIT_NOT_ENROLLED, "certificate_expired", str(expired))
            return
        seconds, asked = self.reactor.seconds(), self._asked
        if asked is not None and asked.still_waits(identity, supervisor.ends, seconds):
            return
        # Over the newest: what an old tunnel was made with, the registry may have forgotten.
        for end in reversed(supervisor.ends):
            if end.catalog.revision and not end.leaving:
                self._asked = _Asked(identity, end, seconds)
                end.ask_for_certificate(identity.csr().decode(), identity.root_hashes)
                return
