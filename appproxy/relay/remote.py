"""
Streams on tunnels that end in relays elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from appproxy.relay.opener import NoConnector, StreamRequest, TunnelLink
from appproxy.relay.relay_link import RelayLink
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.stream import Stream


class RemoteOpener:
    """
    A L{appproxy.relay.opener.StreamOpener} over the tunnels to relays.

    @param links: those that are open.
    """

    def __init__(self, links: Callable[[], Iterable[RelayLink]]) -> None:
        self._links = links

    def open(
        self,
        request: StreamRequest,
        handler: StreamHandler,
        avoid: Collection[TunnelLink] = (),
        stay_with: TunnelLink | None = None,
    ) -> tuple[Stream, TunnelLink]:
        """
        See L{appproxy.relay.opener.StreamOpener.open}.

        A relay to avoid comes last, but it comes: it knows which of its connectors failed.
        """
        if isinstance(stay_with, RelayLink) and not stay_with.usable:
            raise NoConnector()
        links = [stay_with] if isinstance(stay_with, RelayLink) else self._by_rank(request.group, avoid)
        for link in links:
            try:
                return link.open(request, handler, stay_with is not None), link
            except TunnelRefused:
                continue
        raise NoConnector()

    def forget(self, session_id: str) -> None:
        """See L{appproxy.relay.opener.StreamOpener.forget}."""
        for link in self._links():
            link.forget(session_id)

    def _by_rank(self, group: str, avoid: Collection[TunnelLink]) -> list[RelayLink]:
        usable = [link for link in self._links() if link.usable and link.serves(group)]
        return sorted(usable, key=lambda link: (link in avoid, link.load))
