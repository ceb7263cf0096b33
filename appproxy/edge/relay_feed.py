"""
What the relay is told, put together from catalog and registry.
"""

from __future__ import annotations

from collections.abc import Callable

from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.catalog.group_document import write_group
from appproxy.model.application import Backend
from appproxy.pki.authority import Authority
from appproxy.relay.catalog import RelayCatalog


class RelayFeed:
    """
    Follows both feeds and hands on one L{RelayCatalog} after the other.

    Group documents are written anew only where an application changed.
    """

    def __init__(
        self,
        catalog: CatalogFeed,
        connectors: ConnectorFeed,
        authority: Authority,
        tell: Callable[[RelayCatalog], None],
    ) -> None:
        self._catalog = catalog
        self._connectors = connectors
        self._authority = authority
        self._tell = tell
        self._roots: tuple[dict[str, str], ...] = ()
        self._written: dict[str, tuple[tuple[Backend, ...], bytes]] = {}
        catalog.changed(lambda _: self.update())
        connectors.changed(lambda _: self.update())

    def update(self) -> None:
        """Put together what is there now, and hand it on."""
        catalog = self._catalog.current
        if not self._catalog.is_ready or not self._connectors.is_ready:
            return
        roots = tuple(each.as_dict() for each in self._authority.announced)
        if roots != self._roots:
            self._roots = roots
            self._written.clear()
        documents = {group: self._document(group, catalog.by_group(group)) for group in catalog.groups}
        connectors = self._connectors
        self._tell(
            RelayCatalog(
                catalog.revision,
                documents,
                connectors.current,
                connectors.revision,
                roots=roots,
                serving_root=self._authority.serving.root_hash,
                drained=frozenset(key for key, each in connectors.current.items() if each.drained_at),
            )
        )

    def _document(self, group: str, backends: tuple[Backend, ...]) -> bytes:
        known = self._written.get(group)
        if known is None or known[0] != backends:
            known = self._written[group] = (backends, write_group(backends, self._roots))
        return known[1]
