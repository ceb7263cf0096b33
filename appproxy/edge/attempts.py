"""
One request's way into a tunnel, and into another one where that harms nobody.
"""

from __future__ import annotations

from typing import Final

from appproxy.edge.client_connection import ClientConnection
from appproxy.edge.verdict import Forward
from appproxy.httpwire.authentication import AUTHORIZATION, binds_connection
from appproxy.httpwire.block import Block
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY, SAFE_METHODS, RequestHead
from appproxy.httpwire.wire_heads import pack_request
from appproxy.observe.transaction import Transaction
from appproxy.relay.opener import StreamOpener, StreamRequest, TunnelLink
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.stream import Stream

NOTHING_SENT: Final = frozenset(
    {"stale", "draining", "overloaded", "backend_refused", "backend_name", "no_connector"}
)
"""Resets with which a connector, or a relay that has none, says that no byte reached the backend."""

CONNECTOR_GONE: Final = frozenset({"tunnel_lost", "draining"})
"""Resets after which nothing is bound to the connector any more, even if its relay is still there."""

MAXIMUM_ATTEMPTS: Final = 2


class Attempts:
    """
    Opens the streams of one request, a second one only after the first was reset.
    """

    __slots__ = ("_avoid", "_client", "_count", "_forward", "_head", "_link", "_request", "_transaction")

    def __init__(
        self, client: ClientConnection, transaction: Transaction, head: RequestHead, forward: Forward
    ) -> None:
        """
        @raise BadMessage: for a head that cannot cross a tunnel.
        """
        self._client = client
        self._transaction = transaction
        self._head = head
        self._forward = forward
        self._request = _stream_request(client, transaction.id, head, forward)
        self._count = 0
        self._avoid: tuple[TunnelLink, ...] = ()
        self._link: TunnelLink | None = None

    def open(self, opener: StreamOpener, handler: StreamHandler) -> Stream:
        """
        Open the request's stream.

        @raise NoConnector: if there is no tunnel for it.
        """
        self._count += 1
        stay_with = self._client.bound_to(self._forward.view.group)
        stream, self._link = opener.open(self._request, handler, self._avoid, stay_with)
        link, transaction = self._link, self._transaction
        transaction.connector, transaction.tunnel = link.name, link.tunnel
        transaction.relay = link.name if link.is_relay else ""
        if binds_connection(self._head.blocks, AUTHORIZATION):
            self.bind()
        return stream

    def behind_relay(self, connector: str) -> None:
        """The relay says which connector it was; a connector can say nothing of itself."""
        if self._link is not None and self._link.is_relay:
            self._transaction.connector = connector

    def bind(self) -> None:
        """A sign-on of this client's connection lives on the tunnel from now on."""
        if self._link is not None:
            self._client.bind(self._forward.view.group, self._link)

    def once_more(self, reason: str) -> bool:
        """
        Whether the request may be sent again, after a reset before any answer; if so,
        the next attempt avoids the tunnel of the last one.
        """
        if not self._is_repeatable(reason):
            return False
        if self._link is not None:
            self._avoid += (self._link,)
            self._transaction.retries += 1
        return True

    def _is_repeatable(self, reason: str) -> bool:
        head, forward = self._head, self._forward
        if self._count >= MAXIMUM_ATTEMPTS or not forward.view.application.retry or head.body != NO_BODY:
            return False
        if reason not in CONNECTOR_GONE and self._client.bound_to(forward.view.group) is not None:
            return False
        return reason in NOTHING_SENT or (
            reason == "tunnel_lost" and head.upgrade is None and head.method in SAFE_METHODS
        )


def _stream_request(
    client: ClientConnection, transaction_id: str, head: RequestHead, forward: Forward
) -> StreamRequest:
    view, upgrade = forward.view, head.upgrade
    headers = view.rules.rebuild(head, client.way_to(head.host))
    if upgrade is not None:
        headers.append(Block([field(b"Upgrade", upgrade)]))
    elif head.expects_continue:
        headers.append(Block([field(b"Expect", b"100-continue")]))
    return StreamRequest(
        view.id,
        view.group,
        view.revision,
        forward.principal,
        view.claims,
        transaction_id,
        int(view.backend_timeout_seconds * 1000),
        pack_request(head.method, head.target, headers),
        head.body,
        upgrade is not None,
        client.number,
    )
