"""
Puts the admin socket together, for the daemon that has all its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorThreads, IReactorTime, IReactorUNIX
from twisted.internet.threads import deferToThreadPool

from appproxy.admin.api import AdminApi
from appproxy.admin.asked_user import live_principal
from appproxy.admin.authorities import Authorities
from appproxy.admin.changes import Changes, InThread
from appproxy.admin.explaining import Explanations
from appproxy.admin.listening import listen
from appproxy.admin.live import LiveWatch, StatusSource
from appproxy.admin.objects import (
    CatalogObjects,
    CertificateObjects,
    ConnectorObjects,
    Objects,
)
from appproxy.admin.probes import Probes
from appproxy.admin.questions import Connectors
from appproxy.admin.sessions import SessionControl, SessionObjects
from appproxy.admin.site import AdminSite
from appproxy.admin.status import Status
from appproxy.admin.tokens import TokenObjects
from appproxy.admin.traces import Traces
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.observe.recent import Recent
from appproxy.pki.authority import Authority
from appproxy.store.istore import IStore
from appproxy.store.sealing import Sealer
from appproxy.transport.addresses import ListenAddress


class Reactor(IReactorTime, IReactorUNIX, IReactorThreads):
    """What the socket, its timeouts and slow questions need."""


@dataclass(frozen=True)
class Surroundings:
    """
    What the daemon has, and the admin socket tells of or changes.

    @ivar source: the tunnels.
    @ivar own_hosts: the edge's own (auth, portal, connect): no application can have them.
    @ivar addresses: C{host:port} that join tokens name.
    @ivar connect_host: the name that connectors then ask for.
    @ivar expiries: when each certificate ends, by name.
    @ivar sealer: the one of the session records.
    @ivar questions: asks connectors.
    @ivar recent: the requests that ended lately.
    @ivar log_place: where the access log is, in words.
    @ivar rejected: what is wrong with certificates' files, by name.
    @ivar sessions: ends sessions.
    """

    store: IStore
    feed: CatalogFeed
    connectors: ConnectorFeed
    authority: Authority
    source: StatusSource
    own_hosts: Collection[str]
    addresses: Sequence[str]
    connect_host: str
    expiries: Callable[[], Mapping[str, datetime]]
    sealer: Sealer
    sessions: SessionControl
    questions: Connectors
    recent: Recent
    log_place: str
    rejected: Callable[[], Mapping[str, str]] = dict


def build_site(clock: IReactorTime, around: Surroundings, in_thread: InThread) -> AdminSite:
    """
    @param in_thread: does slow things (reading a large catalog) without holding up anybody.
    """
    store, source = around.store, around.source
    live = LiveWatch(clock, around.feed, source)
    connectors = ConnectorObjects(store, source, around.authority)
    sessions = SessionObjects(store, around.sealer, around.sessions)
    objects: dict[str, Objects] = {
        "applications": CatalogObjects("application", store, live),
        "connector-groups": CatalogObjects("connector_group", store, live),
        "connectors": connectors,
        "sessions": sessions,
        "certificates": CertificateObjects(around.expiries),
    }
    api = AdminApi(
        Changes(store, live, around.own_hosts, in_thread),
        TokenObjects(around.authority, around.addresses, around.connect_host),
        Status(clock, around.feed, around.connectors, source, around.expiries, around.rejected),
        Probes(clock, around.feed, around.connectors, around.questions),
        Traces(clock, around.recent, around.connectors, around.questions, around.log_place),
        Explanations(
            around.feed,
            around.connectors,
            around.questions,
            lambda user: live_principal(store, around.sealer, user, clock.seconds()),
        ),
        sessions,
        objects,
        connectors,
        Authorities(around.authority),
    )
    return AdminSite(api, in_thread, clock)


class AdminService(Service):
    """Listens while it runs."""

    def __init__(self, reactor: Reactor, address: ListenAddress, group: str, around: Surroundings) -> None:
        """
        @param address: of the Unix socket.
        @param group: who may use it besides the daemon's own user; may be empty.
        """
        self._reactor = reactor
        self._address = address
        self._group = group
        self._around = around
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """
        Listen at once.

        @raise CannotListenError: if the socket is in use.
        """
        super().startService()  # type: ignore[no-untyped-call]

        def in_thread(job: Callable[[], Any]) -> Deferred[Any]:
            return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), job)

        site = build_site(self._reactor, self._around, in_thread)
        self._port = listen(self._reactor, self._address, self._group, site)

    def stopService(self) -> Deferred[None]:
        """Listen no longer."""
        super().stopService()  # type: ignore[no-untyped-call]
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        stopping: Deferred[None] | None = port.stopListening()
        return stopping if stopping is not None else succeed(None)
