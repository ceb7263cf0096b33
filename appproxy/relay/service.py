"""
The relay's life as a daemon of its own: its identity, its port, its certificate.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, TypeVar

from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from appproxy.config.daemon import (
    EXIT_NOT_ENROLLED,
    EXIT_UNAVAILABLE,
    CannotStart,
    DaemonOptions,
    DaemonService,
)
from appproxy.config.relay import RelaySettings
from appproxy.observe.metrics import Metrics
from appproxy.observe.series import Key
from appproxy.pki.certificates import fingerprint, moment, rfc3339
from appproxy.pki.identity import Identity, NotEnrolled, load
from appproxy.pki.trust import follow_roots, read_announced, root_of
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.door import RelayDoor
from appproxy.relay.edges import Edges
from appproxy.transport.addresses import ListenAddress
from appproxy.transport.contexts import BadCertificate
from appproxy.transport.layers import tls_layer
from appproxy.transport.limit import ConnectionLimit
from appproxy.transport.listener import listen
from appproxy.transport.steady import calendar_of
from appproxy.transport.turn import end_of_turn

RENEWAL_CHECK_SECONDS: Final = 3600.0
"""How often it is asked whether the certificate is due: a small part of its year."""

_T = TypeVar("_T")


class RelayService(DaemonService):
    """The broker on a machine of its own, from its configuration."""

    _identity: Identity

    def __init__(self, reactor: Any, options: DaemonOptions) -> None:
        DaemonService.__init__(self, reactor, options)
        self._settings: RelaySettings = options.settings
        self._limit = ConnectionLimit(reactor, self._settings.limits.connections)
        self._calendar = calendar_of(reactor)
        self._edges = Edges(reactor, end_of_turn(reactor))
        self._door = RelayDoor(self._edges.accept)
        self._ports: list[IListeningPort] = []
        self._is_asking = False
        self._serving_root = ""
        # That came with the last request for a certificate that was granted.
        self._said_roots: tuple[str, ...] = ()
        self._renewing = LoopingCall(self._renew_if_due)
        self._renewing.clock = reactor

    async def start(self) -> None:
        """Load the identity and listen. Whom to trust, edges will say."""
        self._identity = self._load_identity()
        self._door.show(self._identity)
        self._edges.told = self._told
        try:
            await self._listen()
        except (CannotListenError, OSError) as error:
            raise CannotStart(EXIT_UNAVAILABLE, f"cannot listen: {error}") from error
        await self.start_metrics(
            self._settings.metrics.listen, self._numbers(), lambda: self._edges.attached > 0
        )
        self._renewing.start(RENEWAL_CHECK_SECONDS, now=False)
        self._log.info("{event}: relay {relay}", event="ready", relay=self._identity.name)
        self.notifier.ready()

    async def stop(self) -> None:
        """Close the door, and let what is under way end."""
        self._log.info("{event}", event="draining")
        if self._renewing.running:
            self._renewing.stop()
        await DeferredList([maybeDeferred(port.stopListening) for port in self._ports])
        await self._edges.drain(self._settings.limits.drain_timeout)
        self._edges.stop()
        await self.stop_metrics()

    def reload(self) -> None:
        """The log file was rotated away. A certificate that is due is asked for."""
        self._options.writer.reopen()
        self._log.info("{event}", event="config_reloaded")
        self._renew_if_due()

    def _load_identity(self) -> Identity:
        try:
            identity = load(self._settings.identity)
            identity.check("relay", self._calendar.seconds())
        except NotEnrolled as error:
            raise CannotStart(EXIT_NOT_ENROLLED, str(error)) from error
        return identity

    async def _listen(self) -> None:
        reactor, settings = self.reactor, self._settings
        tls = tls_layer(settings.tls.transport, reactor)
        for text in settings.listen.https:
            address = ListenAddress.parse(text)
            self._ports += await listen(
                reactor, address, self._door.choose, reactor, tls=tls, limit=self._limit
            )

    def _numbers(self) -> Metrics:
        metrics = Metrics()
        turned_away = self._limit.refused
        metrics.count_from("refused", lambda: {(limit,): count for limit, count in turned_away.items()})
        metrics.watch("tunnels", self._tunnels)
        metrics.watch("tunnel_streams", self._streams)
        metrics.watch("catalog_revision", lambda: self._edges.hub.catalog.revision)
        metrics.watch(
            "certificate_expiry_seconds",
            lambda: {("identity",): self._identity.expires_at - self._calendar.seconds()},
        )
        return metrics

    def _tunnels(self) -> dict[Key, float]:
        counted: Counter[Key] = Counter((link.group,) for link in self._edges.hub.links if link.up_since)
        return {**counted, ("",): self._edges.attached}

    def _streams(self) -> dict[Key, float]:
        counted: Counter[Key] = Counter()
        for link in self._edges.hub.links:
            counted[(link.connector,)] += link.load
        return dict(counted)

    # -- the certificate

    def _renew_if_due(self) -> None:
        if self._identity.renewal_due(self._calendar.seconds()) or self._is_behind():
            self._ask()

    def _told(self, catalog: RelayCatalog) -> None:
        """Follow the CA's roots."""
        try:
            announced = read_announced(list(catalog.roots) or None)
            trusted = follow_roots(self._identity.roots, announced, self._calendar.seconds())
            changed = self._identity.with_roots(trusted) if trusted else self._identity
        except (ValueError, OSError) as error:
            self._log.warn("{event}: {why}", event="roots_refused", why=str(error), fault="peer")
            return
        if changed is not self._identity:
            self._identity = changed
            self._door.show(changed)
            self._log.info("{event}: {count} trusted now", event="roots_changed", count=len(changed.roots))
        self._serving_root = catalog.serving_root if announced else ""
        self._renew_if_due()

    def _is_behind(self) -> bool:
        """Whether edges do not know yet which roots are trusted here, or want a certificate of another."""
        identity = self._identity
        if self._serving_root not in identity.root_hashes:
            return False
        own = fingerprint(root_of(identity.chain, identity.roots))
        return self._said_roots != identity.root_hashes or own != self._serving_root

    def _ask(self) -> None:
        if not self._is_asking:
            self._is_asking = True
            identity = self._identity
            renewing = self._edges.renewals.of_relay(identity.csr(), identity.root_hashes)
            renewing.addBoth(self._asked)
            renewing.addCallback(self._renewed, identity.root_hashes).addErrback(self._not_renewed)

    def _asked(self, result: _T) -> _T:
        self._is_asking = False
        return result

    def _renewed(self, chain_pem: bytes, said_roots: tuple[str, ...]) -> None:
        self._said_roots = said_roots
        self._identity = self._identity.accept(chain_pem, self._calendar.seconds())
        self._door.show(self._identity)
        ends_at = rfc3339(moment(self._identity.expires_at))
        self._log.info("{event}: until {expires_at}", event="renewed", expires_at=ends_at)

    def _not_renewed(self, failure: Failure) -> None:
        ours = failure.check(BadCertificate, OSError)
        self._log.warn(
            "{event}: {why}",
            event="renewal_failed",
            why=failure.getErrorMessage(),
            fault="ours" if ours else "operator",
        )
