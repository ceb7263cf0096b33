"""
The connector's end of one tunnel: its catalog, its users, its streams.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from appproxy.connector.exchange import BackendExchange
from appproxy.connector.opening import ExchangeServices
from appproxy.connector.questions import answer_question
from appproxy.connector.served import CatalogCopy
from appproxy.connector.trails import Trails
from appproxy.model.principal import Principal
from appproxy.transport.wheel import TimerWheel
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.listener import TunnelListener
from appproxy.tunnel.messages import OpenMessage, PeerHello
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.stream import Stream

_log: Final = Logger(__name__)

REFUSALS: Final = frozenset({"revoked", "not_trusted"})
"""Reasons of GOAWAY that speak of this connector, not of the tunnel (docs/tunnel.md, section 11)."""


class TunnelOwner(Protocol):
    """Who keeps this connector's tunnels."""

    def tunnel_up(self, end: TunnelEnd) -> None:
        """The tunnel serves its first catalog."""

    def tunnel_leaving(self, end: TunnelEnd) -> None:
        """The relay is about to stop: another tunnel should take over."""

    def tunnel_refused(self, end: TunnelEnd, reason: str) -> None:
        """
        The relay does not want this connector.

        @param reason: C{revoked}, or C{not_trusted}, which may change.
        """

    def renewed(self, certificate_pem: str) -> None:
        """A new certificate came."""

    def told_roots(self, roots: object) -> None:
        """
        What the relay says of the CA's roots, not looked at; L{None} for nothing.

        @raise ValueError: if it is not what a relay sends.
        """


class TunnelEnd(TunnelListener):
    """
    A L{appproxy.tunnel.session.TunnelListener} on the acceptor's side.

    @ivar address: where the tunnel leads, for the log.
    @ivar leaving: whether the relay is about to close it.
    """

    def __init__(
        self,
        address: str,
        catalog: CatalogCopy,
        wheel: TimerWheel,
        owner: TunnelOwner,
        served: Callable[[str], None],
        trails: Trails,
        explaining: DeferredLock,
    ) -> None:
        """
        @param explaining: one for all tunnels of this connector.
        """
        self.address = address
        self.catalog = catalog
        self._owner = owner
        self._served = served
        self._principals: dict[int, Principal] = {}
        self._services = ExchangeServices(catalog, self._principals, wheel, trails, explaining)
        self._session: TunnelSession | None = None
        self.software = ""
        self.leaving = False
        self.timed: Callable[[bytes], None] = lambda _payload: None

    @property
    def session(self) -> TunnelSession:
        """The session that this listens to."""
        assert self._session is not None, "attached before anything arrives"
        return self._session

    def attached(self, session: TunnelSession) -> None:
        """The session that this listens to."""
        self._session = session

    def lost(self) -> None:
        """The connection is gone."""
        self.catalog.close()
        self._principals.clear()

    def ask_for_certificate(self, csr_pem: str, roots: Sequence[str]) -> None:
        """
        Ask for the next certificate.

        @param roots: SHA-256 (hex) of those that this connector trusts.
        """
        self.session.send_renew(json.dumps({"csr": csr_pem, "roots": list(roots)}).encode())

    # -- TunnelListener

    def hello(self, peer_hello: PeerHello) -> None:
        """The tunnel is up; the relay sends the catalog now."""
        self.software = peer_hello.software

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """A request, or a question."""
        if message.ask:
            answer_question(self._services, stream, message)
            return
        exchange = BackendExchange(self._services, stream, message)
        stream.handler = exchange
        self._served(message.application)
        exchange.begin()

    def principal(self, number: int, payload: bytes) -> None:
        """A user, under the number that later requests carry."""
        try:
            self._principals[number] = Principal.decode(payload)
        except (ValueError, RecursionError) as problem:
            raise TunnelError("bad_message", str(problem)) from problem

    def forgotten(self, number: int) -> None:
        """A user's session ended."""
        self.catalog.forget_user(number, self._principals.pop(number, None))

    def client_gone(self, client_connection: int) -> None:
        """A client's connection is closed: what was private to it goes."""
        self.catalog.client_gone(client_connection)

    def config(self, revision: int, payload: bytes) -> None:
        """What this connector's group serves."""
        try:
            self.catalog.apply(revision, payload)
            self._owner.told_roots(self.catalog.roots)
        except ValueError as problem:
            raise TunnelError("bad_message", str(problem)) from problem
        _log.info(
            "{event}: revision {revision} from {address}: {count} applications",
            event="catalog_applied",
            revision=revision,
            address=self.address,
            count=sum(1 for _ in self.catalog.all),
        )
        for application, why in sorted(self.catalog.refusals.items()):
            _log.warn(
                "{event}: {application} is not served: {why}",
                event="application_not_allowed",
                application=application,
                why=why,
                fault="operator",
            )
        self.session.send_applied(revision)
        self._owner.tunnel_up(self)

    def applied(self, revision: int) -> None:
        """A relay applies nothing of ours."""

    def renew(self, payload: bytes) -> None:
        """The answer to L{ask_for_certificate}."""
        try:
            answer = json.loads(payload)
            certificate = answer["certificate"]
            if not isinstance(certificate, str):
                raise ValueError("not a text")
        except (ValueError, KeyError, TypeError):
            _log.error("{event}: the relay sent no certificate", event="renewal_failed", fault="peer")
            return
        self._owner.renewed(certificate)

    def going_away(self) -> None:
        """The relay is about to stop, or wants no tunnel with us."""
        self.leaving = True
        reason, _detail = self.session.peer_goodbye or ("", "")
        if reason in REFUSALS:
            self._owner.tunnel_refused(self, reason)
        self._owner.tunnel_leaving(self)

    def pong(self, payload: bytes) -> None:
        """How long the line takes."""
        self.timed(payload)
