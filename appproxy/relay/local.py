"""
Streams on tunnels that end in this very process.
"""

from __future__ import annotations

from collections.abc import Collection

from appproxy.relay.broker import Broker
from appproxy.relay.link import ConnectorLink
from appproxy.relay.opener import NoConnector, StreamOpener, StreamRequest, TunnelLink
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.stream import Stream


class LocalOpener(StreamOpener):
    """A L{appproxy.relay.opener.StreamOpener} over a L{Broker}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def open(
        self,
        request: StreamRequest,
        handler: StreamHandler,
        avoid: Collection[TunnelLink] = (),
        stay_with: TunnelLink | None = None,
    ) -> tuple[Stream, TunnelLink]:
        """See L{appproxy.relay.opener.StreamOpener.open}."""
        if isinstance(stay_with, ConnectorLink) and stay_with.group == request.group:
            return self._stay(request, handler, stay_with)
        tried: Collection[object] = avoid
        while True:
            link = self._broker.choose(request.group, request.revision, tried)
            if link is None:
                raise NoConnector()
            try:
                return link.open(request, handler), link
            except TunnelRefused:
                tried = [*tried, link]

    def forget(self, session_id: str) -> None:
        """See L{appproxy.relay.opener.StreamOpener.forget}."""
        for link in self._broker:
            link.forget(session_id)

    @staticmethod
    def _stay(
        request: StreamRequest, handler: StreamHandler, link: ConnectorLink
    ) -> tuple[Stream, TunnelLink]:
        if not link.usable:
            raise NoConnector()
        try:
            return link.open(request, handler), link
        except TunnelRefused as refused:
            raise NoConnector() from refused
