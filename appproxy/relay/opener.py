"""
How the edge opens a stream to an application, wherever the tunnels end.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from mypy_extensions import mypyc_attr

from appproxy.model.principal import Principal
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.stream import Stream


class NoConnector(Exception):
    """No healthy tunnel of the application's group is there."""


@mypyc_attr(acyclic=True)
class StreamRequest:
    """
    One stream wanted.

    @ivar principal: the user, or L{None} for anonymous.
    @ivar claims: what of the user the group's connectors are told.
    @ivar head: the packed request head (L{appproxy.httpwire.wire_heads}).
    @ivar body: the body's length, as in L{appproxy.httpwire.heads}.
    @ivar client_connection: a number for the client's connection, unique in this
        process; what a backend binds to a connection stays with it.
    """

    __slots__ = (
        "application",
        "body",
        "claims",
        "client_connection",
        "deadline_ms",
        "group",
        "head",
        "principal",
        "revision",
        "transaction_id",
        "upgrade",
    )

    def __init__(
        self,
        application: str,
        group: str,
        revision: int,
        principal: Principal | None,
        claims: frozenset[str],
        transaction_id: str,
        deadline_ms: int,
        head: bytes,
        body: int,
        upgrade: bool,
        client_connection: int,
    ) -> None:
        self.application = application
        self.group = group
        self.revision = revision
        self.principal = principal
        self.claims = claims
        self.transaction_id = transaction_id
        self.deadline_ms = deadline_ms
        self.head = head
        self.body = body
        self.upgrade = upgrade
        self.client_connection = client_connection


class TunnelLink(Protocol):
    """
    One tunnel as the edge sees it: something to avoid, or to stay with.

    @ivar name: the connector's (or relay's) id, for the log.
    @ivar tunnel: the tunnel's number, for the log.
    """

    @property
    def name(self) -> str: ...

    @property
    def tunnel(self) -> str: ...

    @property
    def is_relay(self) -> bool:
        """Whether there are other tunnels behind it, of connectors."""

    @property
    def usable(self) -> bool:
        """Whether new streams may be opened on it."""

    def release_client(self, client_connection: int) -> None:
        """The client's connection is closed: what was bound to it goes too."""


class StreamOpener(Protocol):
    """Opens streams; the edge holds one and cannot tell where the tunnels end."""

    def open(
        self,
        request: StreamRequest,
        handler: StreamHandler,
        avoid: Collection[TunnelLink] = (),
        stay_with: TunnelLink | None = None,
    ) -> tuple[Stream, TunnelLink]:
        """
        Open a stream on the least loaded healthy tunnel of the request's group.

        @param avoid: tunnels that just failed this very request.
        @param stay_with: the only tunnel that will do (a connection-bound sign-on), if it
            leads to the request's group: one host may have applications of several.
        @raise NoConnector: if there is none.
        """

    def forget(self, session_id: str) -> None:
        """A session ended: its streams, tickets and bound connections go, everywhere."""
