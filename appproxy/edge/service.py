"""
The edge's life: what is opened in which order, and closed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.task import LoopingCall

from appproxy.admin.regular_probes import RegularProbes
from appproxy.admin.service import AdminService, Surroundings
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.config.daemon import (
    EXIT_NOT_ENROLLED,
    EXIT_UNAVAILABLE,
    CannotStart,
    DaemonOptions,
    DaemonService,
)
from appproxy.config.edge import EdgeSettings
from appproxy.edge.assembly import (
    build_front_door,
    build_pages,
    build_sign_in,
    build_web,
    load_rules,
)
from appproxy.edge.front_door import FrontDoor
from appproxy.edge.numbers import EdgeNumbers
from appproxy.edge.questions import TunnelQuestions
from appproxy.edge.relay_feed import RelayFeed
from appproxy.edge.tunnels import InsideTunnels, RemoteTunnels, Tunnels
from appproxy.edge.web import Web
from appproxy.observe.giving_back import GivingBack
from appproxy.pki.authority import Authority, IssuerAway, NotTrusted
from appproxy.pki.identity import IDENTITY_FOLDER
from appproxy.pki.server_identity import ServerIdentity, ensure_server_identity
from appproxy.session.keyring import Keyring
from appproxy.session.records import Sessions
from appproxy.store.files import UnsafeFile
from appproxy.store.istore import StoreError
from appproxy.store.sealing import SealBroken, Sealer, load_or_make_key
from appproxy.store.sqlite import SqliteStore
from appproxy.transport.addresses import ListenAddress
from appproxy.transport.certificates import CertificateDirectory
from appproxy.transport.layers import tls_layer
from appproxy.transport.limit import ConnectionLimit
from appproxy.transport.listener import listen, listen_plain
from appproxy.transport.steady import calendar_of
from appproxy.transport.turn import end_of_turn

NEWCOMERS_FOLDER: Final = "newcomers"
"""Beside the edge's own identity: what newcomers are shown while a new CA takes over."""

TOUCH_SECONDS: Final = 20.0
"""Sessions with open streams are kept from going idle; well within the shortest idle lifetime."""


class EdgeService(DaemonService):
    """The public side, from its configuration."""

    def __init__(self, reactor: Any, options: DaemonOptions) -> None:
        DaemonService.__init__(self, reactor, options)
        settings: EdgeSettings = options.settings
        self._settings = settings
        self._schedule = end_of_turn(reactor)
        self._ports: list[IListeningPort] = []
        self._store: SqliteStore | None = None
        self._web: Web | None = None
        self._tunnels: Tunnels | None = None
        self._tls = tls_layer(settings.tls.transport, reactor)
        self._certificates = CertificateDirectory(
            settings.tls.certificates,
            reactor,
            minimum_version=settings.tls.minimum_version,
            prepare=self._tls.prepare,
        )
        self._numbers = EdgeNumbers(settings, options.writer, reactor)
        limits = settings.limits
        self._limit = ConnectionLimit(reactor, limits.connections, limits.connections_per_address)
        self._identity: ServerIdentity | None = None
        self._stoppers: list[Any] = []
        self._ready = False

    # -- start

    async def start(self) -> None:
        """Open the store, read sessions and catalog, then listen."""
        store, sealer = await self._open_store()
        authority, identity = await self._open_authority(store, sealer)
        self._identity = identity
        sessions, keyring = await self._open_sessions(store, sealer)
        feed, connectors = CatalogFeed(store, self.reactor), ConnectorFeed(store, self.reactor)
        self._stoppers += [feed, connectors, sessions, identity]
        tunnels = self._tunnels = self._make_tunnels(authority, identity)
        sign_in = build_sign_in(self._settings, self.reactor, store, keyring, sessions)
        pages = build_pages(self._settings)

        def is_ready() -> bool:
            return self._ready and sessions.ready and feed.is_ready

        web = self._web = build_web(
            self.reactor,
            self._settings,
            pages,
            sign_in,
            sessions,
            tunnels.opener,
            self._schedule,
            self._numbers.finished,
            load_rules(self._settings),
            is_ready,
        )
        feed.changed(web.follow)
        connectors.changed(authority.follow)
        relay_feed = RelayFeed(feed, connectors, authority, tunnels.update)
        await feed.start()
        await connectors.start()
        relay_feed.update()
        self._certificates.start()
        self._stoppers.append(self._certificates)
        await self._listen(web, tunnels, authority, identity, relay_feed.update)
        self._start_admin(store, feed, connectors, authority, tunnels, sealer, sessions)
        self._start_probes(feed, connectors, tunnels)
        outcomes = sign_in.flow.outcomes if sign_in.flow is not None else {}
        self._numbers.watch(
            web, tunnels, sessions, feed, self._certificates, outcomes, lambda: identity.current.expires_at
        )
        self._numbers.count_turned_away(self._limit.refused)
        await self.start_metrics(self._settings.metrics.listen, self._numbers.metrics, is_ready)
        self._keep_house(web)
        self._ready = True
        self._log.info(
            "{event}: {applications} applications at revision {revision}",
            event="ready",
            applications=len(feed.current.applications),
            revision=feed.current.revision,
        )
        self.notifier.ready()

    def _keep_house(self, web: Web) -> None:
        """What goes on by itself, whoever comes."""
        giving_back = GivingBack(self.reactor, lambda: self._limit.active)
        giving_back.start()
        touching = LoopingCall(web.touch_live)
        touching.clock = self.reactor
        touching.start(TOUCH_SECONDS, now=False)
        self._stoppers += [giving_back, touching]

    async def _open_store(self) -> tuple[SqliteStore, Sealer]:
        settings = self._settings.store
        try:
            key = load_or_make_key(settings.key_file)
            self._store = await SqliteStore.open(settings.path, self.reactor)
        except (StoreError, OSError, UnsafeFile, ValueError) as error:
            raise CannotStart(EXIT_UNAVAILABLE, f"the store cannot be opened: {error}") from error
        return self._store, Sealer(key)

    async def _open_authority(self, store: SqliteStore, sealer: Sealer) -> tuple[Authority, ServerIdentity]:
        settings = self._settings
        try:
            authority = await Authority.open(
                store, sealer, calendar_of(self.reactor), settings.pki.infrastructure_key_file
            )
            identity = ServerIdentity(
                authority, settings.store.path.parent / IDENTITY_FOLDER, settings.hosts.connect
            )
            await identity.start()
        except NotTrusted as error:
            raise CannotStart(EXIT_NOT_ENROLLED, f"this edge is not trusted any more: {error}") from error
        except (IssuerAway, SealBroken, StoreError, OSError) as error:
            raise CannotStart(EXIT_UNAVAILABLE, f"the built-in CA cannot be used: {error}") from error
        return authority, identity

    async def _open_sessions(self, store: SqliteStore, sealer: Sealer) -> tuple[Sessions, Keyring]:
        lifetimes = self._settings.session
        keyring = Keyring(store, sealer, self.reactor, lifetimes.maximum_lifetime)
        sessions = Sessions(store, sealer, keyring, self.reactor, lifetimes)
        await sessions.start()
        return sessions, keyring

    def _make_tunnels(self, authority: Authority, identity: ServerIdentity) -> Tunnels:
        settings = self._settings
        address = f"{settings.hosts.connect}:{settings.listen.port}"
        if settings.relay.mode == "inside":
            return InsideTunnels(self.reactor, self._schedule, authority, address)
        dial = settings.relay.dial
        return RemoteTunnels(
            self.reactor, self._schedule, authority, lambda: identity.current, dial, address, self._tls
        )

    async def _listen(
        self,
        web: Web,
        tunnels: Tunnels,
        authority: Authority,
        identity: ServerIdentity,
        tell: Callable[[], None],
    ) -> None:
        settings = self._settings
        balancers = tuple(map(ip_network, settings.listen.proxy_protocol_from))
        door = build_front_door(settings, self._certificates, web, tunnels, authority, self.reactor)
        door.show(identity.current)
        identity.changed(door.show)
        identity.changed(
            lambda new: door.show_newcomers(new) if authority.serving is authority.newest else None
        )

        async def follow_authority() -> None:
            """Another CA: first we show what fits, then others are told."""
            await identity.look()
            await self._show_newcomers(door, authority, identity)
            tell()

        await self._show_newcomers(door, authority, identity)
        authority.changed(follow_authority)
        identity.changed(lambda _new: _replace(tunnels, identity.former_seconds))
        try:
            for text in settings.listen.https:
                address = ListenAddress.parse(text)
                self._ports += await listen(
                    self.reactor,
                    address,
                    door.choose,
                    self.reactor,
                    tls=self._tls,
                    limit=self._limit,
                    balancers=balancers,
                )
            for text in settings.listen.http:
                self._ports += await listen_plain(
                    self.reactor,
                    ListenAddress.parse(text),
                    lambda peer: web.plain_channel(_host_of(peer)),
                    limit=self._limit,
                    balancers=balancers,
                )
        except (CannotListenError, OSError) as error:
            raise CannotStart(EXIT_UNAVAILABLE, f"cannot listen: {error}") from error

    async def _show_newcomers(self, door: FrontDoor, authority: Authority, identity: ServerIdentity) -> None:
        """Newcomers know the newest root alone, which those who dial tunnels may not know yet."""
        if authority.serving is authority.newest:
            door.show_newcomers(identity.current)
            return
        folder = self._settings.store.path.parent / NEWCOMERS_FOLDER
        host = self._settings.hosts.connect
        try:
            shown = await ensure_server_identity(
                authority, folder, host, generation=authority.newest, holder_id=identity.current.id
            )
        except IssuerAway as error:
            self._log.warn(
                "{event}: nobody can enrol until the new CA has taken over: {why}",
                event="no_enrolment",
                why=str(error),
                fault="operator",
            )
            return
        door.show_newcomers(shown)

    def _start_admin(
        self,
        store: SqliteStore,
        feed: CatalogFeed,
        connectors: ConnectorFeed,
        authority: Authority,
        tunnels: Tunnels,
        sealer: Sealer,
        sessions: Sessions,
    ) -> None:
        settings = self._settings
        hosts = settings.hosts
        admin = AdminService(
            self.reactor,
            ListenAddress.parse(settings.admin.listen),
            settings.admin.group,
            Surroundings(
                store,
                feed,
                connectors,
                authority,
                tunnels,
                (hosts.auth, hosts.portal, hosts.connect),
                tunnels.addresses,
                hosts.connect,
                self._expiries,
                sealer,
                sessions,
                TunnelQuestions(self.reactor, tunnels),
                self._numbers.recent,
                _log_place(settings),
                lambda: self._certificates.rejected,
            ),
        )
        try:
            admin.startService()
        except (CannotListenError, OSError) as error:
            reason = error.socketError if isinstance(error, CannotListenError) else error
            raise CannotStart(
                EXIT_UNAVAILABLE, f"the admin socket {settings.admin.listen}: {reason}"
            ) from error
        self._stoppers.append(admin)

    def _start_probes(self, feed: CatalogFeed, connectors: ConnectorFeed, tunnels: Tunnels) -> None:
        interval = self._settings.probes.interval
        questions = TunnelQuestions(self.reactor, tunnels)
        probes = RegularProbes(self.reactor, feed, connectors, questions, interval)
        self._numbers.metrics.watch("probe_up", probes.up)
        if interval:
            probes.start()
            self._stoppers.append(probes)

    def _expiries(self) -> Mapping[str, datetime]:
        return self._certificates.expiries()

    # -- reload and stop

    def reload(self) -> None:
        """Read the certificates again; broken ones now stay as they were. Our own is renewed if it is due."""
        self._certificates.reload()
        self._numbers.reopen_log()
        if self._identity is not None:
            self._identity.look()
        self._log.info("{event}", event="config_reloaded", at=datetime.now(UTC).isoformat())

    async def stop(self) -> None:
        """Close the door, let requests end, then close tunnels and store."""
        self._ready = False
        self._log.info("{event}", event="draining")
        await DeferredList([_stopped(port.stopListening()) for port in self._ports])
        timeout = self._settings.limits.drain_timeout
        if self._web is not None:
            drained = self._web.drain()
            drained.addTimeout(timeout, self.reactor).addErrback(lambda _: None)
            await drained
            self._web.cut_all()
        if self._tunnels is not None:
            await self._tunnels.stop(timeout)
        for each in reversed(self._stoppers):
            stop = getattr(each, "stopService", None) or each.stop
            await _stopped(stop())
        await self.stop_metrics()
        if self._store is not None:
            await self._store.close()


def _log_place(settings: EdgeSettings) -> str:
    """Where an administrator finds the access log."""
    if not settings.log.access:
        return "there is no access log (log.access = false)"
    if settings.log.file:
        return f"the access log is {settings.log.file}, and what was rotated away"
    return "the access log is the edge's standard output: journalctl -u appproxy-edge --grep ID"


def _replace(tunnels: Tunnels, former_seconds: float | None) -> None:
    """Another certificate needs other tunnels; that other roots are trusted concerns new ones alone."""
    if former_seconds is not None:
        tunnels.replace(former_seconds)


def _host_of(peer: IAddress) -> str:
    return str(getattr(peer, "host", ""))


def _stopped(result: object) -> Deferred[Any]:
    if isinstance(result, Deferred):
        return result
    done: Deferred[Any] = Deferred()
    done.callback(result)
    return done
