"""
What of the running system the admin socket tells: handed in by the daemon,
since it belongs to folders beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from appproxy.catalog.feed import CatalogFeed

LONGEST_WAIT_SECONDS: Final = 10.0
"""A change is live within 2 s; a connector that needs longer than this is named instead of waited for."""


class StatusSource(Protocol):
    """What the relay inside the edge, or the tunnels to relays, know."""

    def tunnels(self) -> Sequence[Mapping[str, object]]:
        """
        Every tunnel: C{connector} (its id), C{connector_group}, C{role}, C{address},
        C{since} (RFC 3339), C{streams}, C{revision} (of the catalog that it has applied).
        """

    def live_revision(self, revision: int) -> Deferred[None]:
        """
        @return: fires once every connector with a tunnel has applied this revision
            of the catalog or a later one; may be cancelled.
        """


@dataclass(frozen=True)
class Liveness:
    """
    How far a change has come.

    @ivar seconds: from the beginning of the change.
    @ivar connectors: how many have a tunnel.
    @ivar behind: the ids of the connectors, or C{edge}, that do not have it yet.
    """

    seconds: float
    connectors: int = 0
    behind: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "live": not self.behind,
            "live_seconds": round(self.seconds, 3),
            "connectors": self.connectors,
            "behind": list(self.behind),
        }


class LiveWatch:
    """Waits until a change is in force everywhere."""

    def __init__(self, clock: IReactorTime, feed: CatalogFeed, source: StatusSource) -> None:
        self._clock = clock
        self._feed = feed
        self._source = source

    def now(self) -> float:
        """The clock's time."""
        return self._clock.seconds()

    async def wait(self, revision: int, since: float) -> Liveness:
        """
        Wait for a revision, but not for ever.

        @param since: L{now} when the change began.
        """
        try:
            await self._everywhere(revision).addTimeout(LONGEST_WAIT_SECONDS, self._clock)
            behind: tuple[str, ...] = ()
        except TimeoutError:
            behind = self._behind(revision)
        tunnels = self._source.tunnels()
        connectors = {each.get("connector") for each in tunnels if each.get("role") != "relay"}
        return Liveness(self.now() - since, len(connectors), behind)

    def _everywhere(self, revision: int) -> Deferred[None]:
        reached = self._feed.reached(revision)
        return reached.addCallback(lambda _: self._source.live_revision(revision))

    def _behind(self, revision: int) -> tuple[str, ...]:
        if self._feed.current.revision < revision:
            return ("edge",)
        tunnels = self._source.tunnels()
        late = {str(each["connector"]) for each in tunnels if _revision_of(each) < revision}
        return tuple(sorted(late))


def _revision_of(tunnel: Mapping[str, object]) -> int:
    revision = tunnel.get("revision")
    return revision if isinstance(revision, int) else 0
