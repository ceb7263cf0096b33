"""
How the edge and its connectors are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from twisted.internet.interfaces import IReactorTime

from appproxy import __version__
from appproxy.admin.live import StatusSource
from appproxy.admin.objects import Row, rfc3339
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed

DAY_SECONDS: Final = 86400


class Status:
    """Puts together what C{appproxy status} shows."""

    def __init__(
        self,
        clock: IReactorTime,
        feed: CatalogFeed,
        connectors: ConnectorFeed,
        source: StatusSource,
        expiries: Callable[[], Mapping[str, datetime]],
        rejected: Callable[[], Mapping[str, str]],
    ) -> None:
        """
        @param expiries: when each public certificate in use ends, by name.
        @param rejected: what is wrong with the files of a certificate, by name.
        """
        self._clock = clock
        self._started = clock.seconds()
        self._feed = feed
        self._connectors = connectors
        self._source = source
        self._expiries = expiries
        self._rejected = rejected

    async def show(self) -> Row:
        """Everything at once."""
        catalog = self._feed.current
        tunnels = [self._tunnel(each) for each in self._source.tunnels()]
        return {
            "version": __version__,
            "started_at": rfc3339(self._started),
            "uptime_seconds": round(self._clock.seconds() - self._started),
            "store_up": self._feed.is_ready,
            "catalog_revision": catalog.revision,
            "applications": len(catalog.applications),
            "connector_groups": self._groups(tunnels),
            "tunnels": tunnels,
            "certificates": self._certificates(),
        }

    def _certificates(self) -> list[Row]:
        """A file that cannot be used is there too, since browsers may be turned away for it."""
        ends, problems = self._expiries(), self._rejected()
        return [
            {
                "name": name,
                "expires_at": rfc3339(ends[name]) if name in ends else None,
                "days_left": self._days_until(ends[name]) if name in ends else None,
                "problem": problems.get(name),
            }
            for name in sorted({*ends, *problems})
        ]

    def _days_until(self, end: datetime) -> int:
        return int((end.timestamp() - self._clock.seconds()) // DAY_SECONDS)

    def _groups(self, tunnels: Sequence[Mapping[str, object]]) -> list[Row]:
        """A group that applications need and that has no tunnel is what an operator looks for first."""
        catalog = self._feed.current
        return [
            {
                "id": group,
                "applications": len(catalog.by_group(group)),
                "tunnels": sum(each.get("connector_group") == group for each in tunnels),
            }
            for group in sorted(catalog.groups)
        ]

    def _tunnel(self, tunnel: Mapping[str, object]) -> dict[str, object]:
        connector = self._connectors.current.get(str(tunnel.get("connector", "")))
        return {"name": connector.name if connector is not None else "", **tunnel}
