"""
Which tunnel a stream goes to: the least loaded healthy one of its group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from appproxy.relay.link import ConnectorLink


class Broker:
    """
    The tunnels that connectors hold open, by group.

    @ivar turn: where the next search starts, so that equally loaded tunnels take turns.
    """

    def __init__(self) -> None:
        self._by_group: dict[str, list[ConnectorLink]] = {}
        self._turn = 0

    def attach(self, link: ConnectorLink) -> None:
        """A tunnel is up."""
        self._by_group.setdefault(link.group, []).append(link)

    def detach(self, link: ConnectorLink) -> None:
        """A tunnel is gone; doing it twice is no mistake."""
        links = self._by_group.get(link.group, [])
        if link in links:
            links.remove(link)
        if not links:
            self._by_group.pop(link.group, None)

    def __iter__(self) -> Iterator[ConnectorLink]:
        return iter([link for links in self._by_group.values() for link in links])

    def choose(self, group: str, revision: int = 0, avoid: Collection[object] = ()) -> ConnectorLink | None:
        """
        The tunnel for a stream.

        A tunnel whose connector has applied C{revision} comes before one that is
        still behind; among those, the one with the fewest streams.
        """
        links = self._by_group.get(group)
        if not links:
            return None
        if len(links) == 1:
            only = links[0]
            return only if only.usable and only not in avoid else None
        self._turn += 1
        start = self._turn % len(links)
        best: ConnectorLink | None = None
        best_rank = (True, 0)
        for link in links[start:] + links[:start]:
            if not link.usable or link in avoid:
                continue
            rank = (link.live_revision < revision, link.load)
            if best is None or rank < best_rank:
                best, best_rank = link, rank
        return best
