"""
What the relay is told, put together from catalog and registry.
"""

from __future__ import annotations

from collections.abc import Callable

from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.catalog.group_document import write_group
from appproxy.model.application import Backend
from appproxy.relay.catalog import RelayCatalog


class RelayFeed:
    """
    Follows both feeds and hands on one L{RelayCatalog} after the other.

    Group documents are written anew only where an application changed.
    """

    def __init__(
        self, catalog: CatalogFeed, connectors: ConnectorFeed, tell: Callable[[RelayCatalog], None]
    ) -> None:
        self._catalog = catalog
        self._connectors = connectors
        self._tell = tell
        self._written: dict[str, tuple[tuple[Backend, ...], bytes]] = {}
        catalog.changed(lambda _: self.update())
        connectors.changed(lambda _: self.update())

    def update(self) -> None:
        """Put together what is there now, and hand it on."""
        catalog = self._catalog.current
        if not self._catalog.is_ready or not self._connectors.is_ready:
            return
        documents = {group: self._document(group, catalog.by_group(group)) for group in catalog.groups}
        connectors = self._connectors
        self._tell(RelayCatalog(catalog.revision, documents, connectors.current, connectors.revision))

    def _document(self, group: str, backends: tuple[Backend, ...]) -> bytes:
        known = self._written.get(group)
        if known is None or known[0] != backends:
            known = self._written[group] = (backends, write_group(backends))
        return known[1]
