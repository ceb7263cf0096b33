"""
Which tunnel a stream goes to: the least loaded healthy one of its group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from appproxy.relay.link import ConnectorLink

ENOUGH: Final = 4
"""
Tunnels that are compared for one stream. To compare all of a hundred would cost more than the request; the
best of a few, other ones each time, evens the load out nearly as well.
"""


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
        still behind; among L{ENOUGH} of those, which take turns, the one with the fewest streams.
        """
        links = self._by_group.get(group)
        if not links:
            return None
        if len(links) == 1:
            only = links[0]
            return only if only.usable and only not in avoid else None
        self._turn += 1
        count, seen = len(links), 0
        best: ConnectorLink | None = None
        best_load = 0
        behind: ConnectorLink | None = None
        for position in range(self._turn, self._turn + count):
            link = links[position % count]
            if not link.usable or link in avoid:
                continue
            if link.live_revision < revision:
                behind = link if behind is None or link.load < behind.load else behind
                continue
            load = link.load
            if best is None or load < best_load:
                best, best_load = link, load
            seen += 1
            if load == 0 or seen == ENOUGH:
                break
        return best if best is not None else behind
