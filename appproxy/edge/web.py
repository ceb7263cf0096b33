"""
The edge's web side put together: gate, exchanges, pages, and the channels of
every web connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.catalog.snapshot import Catalog
from appproxy.edge.answers import Answers
from appproxy.edge.channel import EdgeChannel
from appproxy.edge.channel_services import ChannelServices
from appproxy.edge.client_connection import ClientConnection
from appproxy.edge.client_writer import PageSink
from appproxy.edge.exchange import ExchangeServices
from appproxy.edge.facts import ConnectionFacts
from appproxy.edge.gate import Gate
from appproxy.edge.live import LiveStreams
from appproxy.edge.page_channel import PageStream
from appproxy.edge.plain_gate import PlainGate
from appproxy.edge.site import EdgeSite
from appproxy.edge.verdict import Forward, Local
from appproxy.edge.view import ApplicationViews
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import HeadLimits
from appproxy.model.principal import Principal
from appproxy.observe.transaction import Transaction, TransactionIds
from appproxy.pages.tiles import Tile
from appproxy.relay.opener import StreamOpener
from appproxy.session.records import Sessions
from appproxy.transport.turn import Schedule
from appproxy.transport.turn_queue import FIRST_REQUESTS, TurnQueue
from appproxy.transport.wheel import TimerWheel

_log: Final = Logger(__name__)


@dataclass(frozen=True)
class WebSettings:
    """What of the configuration decides how web connections are served."""

    public_port: int
    head_size: int
    header_count: int
    head_timeout_seconds: float
    idle_timeout_seconds: float
    front_end: str = "channel"
    hsts_seconds: float = 0.0


class Web:
    """
    Makes a channel for each web connection, and follows catalog and sessions.

    @ivar live: what is under way.
    """

    def __init__(
        self,
        reactor: Any,
        settings: WebSettings,
        gate: Gate,
        answers: Answers,
        site: EdgeSite,
        sessions: Sessions,
        opener: StreamOpener,
        schedule: Schedule,
        finished: Callable[[Transaction], None],
    ) -> None:
        self.live = LiveStreams()
        self.gate = gate
        self._settings = settings
        self._site = site
        self._sessions = sessions
        self._opener = opener
        self._views = ApplicationViews()
        self._numbers = itertools.count(1)
        self._new_id = TransactionIds(reactor.seconds)
        self._seconds = reactor.seconds
        self._arrivals = TurnQueue(reactor, FIRST_REQUESTS)
        wheel = TimerWheel(reactor)
        self.exchanges = ExchangeServices(opener, self.live, wheel, reactor.seconds, self._finish)
        self._finished = finished
        plain_gate = PlainGate(gate, settings.public_port)
        make = self._channel_services
        self._secure = make(gate.judge, answers, wheel, schedule, self._strict_transport)
        self._plain = make(plain_gate.judge, answers, wheel, schedule, lambda _host: b"")
        sessions.watch_ended(self._session_ended)

    # -- connections

    def secure_channel(self, client_address: str, server_name: str | None) -> EdgeChannel:
        """A channel for a connection over TLS."""
        name = server_name.encode() if server_name is not None else None
        facts = ConnectionFacts(client_address, name, b"https", self._settings.public_port)
        return EdgeChannel(self._secure, ClientConnection(next(self._numbers), facts))

    def plain_channel(self, client_address: str) -> EdgeChannel:
        """A channel for a connection without TLS: redirects, and http applications."""
        facts = ConnectionFacts(client_address, None, b"http", 80)
        return EdgeChannel(self._plain, ClientConnection(next(self._numbers), facts))

    @property
    def connections(self) -> int:
        """Web connections open now."""
        return len(self._secure.channels) + len(self._plain.channels)

    # -- catalog and sessions

    def follow(self, catalog: Catalog) -> None:
        """Serve another catalog from now on; what is gone or changed ends its streams."""
        ended: list[str] = []
        self._views.update(catalog, ended.append)
        self.gate.serve(catalog, self._views.by_id)
        for application_id in ended:
            self.live.end_application(application_id)

    def touch_live(self) -> None:
        """Sessions with open streams are in use, though they make no requests."""
        for session_id in self.live.sessions():
            self._sessions.touch(session_id)

    def visible_applications(self, principal: Principal) -> Sequence[Tile]:
        """What the portal shows a user."""
        return [
            Tile(
                view.id,
                view.application.name,
                str(view.application.home_page_url or view.application.external_url),
                view.application.description,
                view.application.category,
            )
            for view in self._views.by_id.values()
            if view.application.visible and self.gate.may_open(view, principal)
        ]

    # -- the end

    def drain(self) -> Deferred[None]:
        """
        Answer what is under way, close what is idle.

        @return: fires when every client has read its answer and is gone; may be cancelled.
        """
        done: Deferred[None] = Deferred()

        def check() -> None:
            if not self.connections and not done.called:
                done.callback(None)

        for services in (self._secure, self._plain):
            services.draining = True
            services.empty = check
            for channel in list(services.channels):
                channel.drain()
        check()
        return done

    def cut_all(self) -> None:
        """Nobody waits any longer."""
        for services in (self._secure, self._plain):
            for channel in list(services.channels):
                channel.cut()

    # -- inside

    def _channel_services(
        self,
        judge: Any,
        answers: Answers,
        wheel: TimerWheel,
        schedule: Schedule,
        strict_transport: Callable[[bytes], bytes],
    ) -> ChannelServices:
        settings = self._settings
        return ChannelServices(
            judge,
            self.exchanges,
            answers,
            self._make_page,
            self._fetch,
            self._begin,
            wheel,
            schedule,
            HeadLimits(head_size=settings.head_size, header_count=settings.header_count),
            settings.head_timeout_seconds,
            settings.idle_timeout_seconds,
            strict_transport,
            self._arrivals,
            settings.front_end == "site",
        )

    def _make_page(
        self, channel: EdgeChannel, head: RequestHead, transaction: Transaction, verdict: Local | Forward
    ) -> PageSink:
        return PageStream(
            channel,
            self._site,
            channel.client,
            head,
            transaction,
            verdict,
            channel.transport,
            self._finish,
            self.exchanges.wheel,
            self._strict_transport(head.host) if channel.client.facts.scheme == b"https" else b"",
        )

    def _strict_transport(self, host: bytes) -> bytes:
        """
        See L{ChannelServices}; for connections over TLS, which the header needs (RFC 6797, section 7.2).

        A browser takes it for the whole host and every port of it: none where an application is on http.
        """
        seconds = self._settings.hsts_seconds
        return b"max-age=%d" % int(seconds) if seconds and self.gate.is_https_only(host) else b""

    def _fetch(self, session_id: str, done: Callable[[], None]) -> None:
        def failed(failure: Failure) -> None:
            _log.warn("a session could not be read: {why}", why=str(failure.value), fault="operator")

        fetched: Deferred[Any] = self._sessions.fetch(session_id)
        fetched.addErrback(failed).addBoth(lambda _: done())

    def _begin(self) -> Transaction:
        now = self._seconds()
        return Transaction(self._new_id.at(now), now)

    def _finish(self, transaction: Transaction) -> None:
        transaction.duration = self._seconds() - transaction.started
        self._finished(transaction)

    def _session_ended(self, session_id: str) -> None:
        self.live.end_session(session_id)
        self._opener.forget(session_id)
