"""
The catalog as requests see it: an immutable snapshot, with the routing table
made once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from appproxy.httpwire.paths import loose_path
from appproxy.model.application import Application, Backend, ConnectorGroup, backend_view


class Published:
    """
    One application and what a request needs of it, worked out beforehand.

    @ivar external_prefix: the path of its external URL; ends in a slash.
    @ivar bare_path: the same without that slash: few servers tell the two apart, so it is part of
        the application and not of the one around it.
    @ivar loose_prefix: C{external_prefix} as servers see it to which capitals are all the same.
    @ivar alone: whether its host has this one application only, at C{/}.
    @ivar backend: what its connectors are told.
    """

    __slots__ = ("alone", "application", "backend", "bare_path", "external_prefix", "id", "loose_prefix")

    def __init__(self, application_id: str, application: Application, alone: bool) -> None:
        self.id = application_id
        self.application = application
        self.alone = alone
        self.external_prefix = application.external_url.path
        self.bare_path = self.external_prefix[:-1]
        self.loose_prefix = loose_path(self.external_prefix)
        self.backend: Backend = backend_view(application_id, application)


class Catalog:
    """
    Everything that is published, at one revision of the store.

    @ivar applications: by id.
    @ivar groups: connector groups by id.
    @ivar published: by application id.
    @ivar hosts: every host that an external URL names, lower-case.
    """

    __slots__ = ("_by_group", "_by_host", "applications", "groups", "hosts", "published", "revision")

    def __init__(
        self,
        revision: int = 0,
        applications: Mapping[str, Application] | None = None,
        groups: Mapping[str, ConnectorGroup] | None = None,
        previous: Catalog | None = None,
    ) -> None:
        """
        @param previous: an earlier snapshot; what did not change is taken over from it.
        """
        self.revision = revision
        self.applications: Mapping[str, Application] = MappingProxyType(dict(applications or {}))
        self.groups: Mapping[str, ConnectorGroup] = MappingProxyType(dict(groups or {}))
        self.published: Mapping[str, Published] = _publish(
            self.applications, previous.published if previous is not None else {}
        )
        self._by_host = _hosts(self.published.values())
        self._by_group = _groups(self.published.values())
        self.hosts = frozenset(self._by_host)

    def route(self, host: bytes, path: str) -> Published | None:
        """
        The application that answers, the most specific path first.

        @param host: as in the Host header (IPv6 in brackets): lower-case, without port and final dot.
        @param path: canonical, decoded once, without the query.
        """
        for published in self._by_host.get(host, ()):
            if path.startswith(published.external_prefix) or path == published.bare_path:
                return published
        return None

    def like_another(self, host: bytes, path: str, published: Published) -> bool:
        """
        Whether a server to which capitals are all the same would take a path for one of a more specific
        application than the one that answers.

        @param path: as for L{route}.
        @param published: what L{route} found.
        """
        loose = ""
        for each in self._by_host.get(host, ()):
            if each is published:
                break
            loose = loose or loose_path(path) + "/"
            if loose.startswith(each.loose_prefix) and each.loose_prefix != published.loose_prefix:
                return True
        return False

    def by_group(self, group: str) -> tuple[Backend, ...]:
        """What the connectors of a group are told, sorted by id."""
        return self._by_group.get(group, ())


def _publish(
    applications: Mapping[str, Application], previous: Mapping[str, Published]
) -> Mapping[str, Published]:
    crowded: dict[str, int] = defaultdict(int)
    for application in applications.values():
        crowded[application.external_url.host] += 1

    def published(application_id: str, application: Application) -> Published:
        address = application.external_url
        alone = address.path == "/" and crowded[address.host] == 1
        old = previous.get(application_id)
        if old is not None and old.application == application and old.alone == alone:
            return old
        return Published(application_id, application, alone)

    return MappingProxyType({key: published(key, value) for key, value in sorted(applications.items())})


def _hosts(published: Iterable[Published]) -> dict[bytes, tuple[Published, ...]]:
    found: dict[bytes, list[Published]] = defaultdict(list)
    for each in published:
        found[each.application.external_url.host_text.encode("ascii")].append(each)
    # The longest prefix first: the first hit is the most specific one.
    return {
        host: tuple(sorted(some, key=lambda each: -len(each.external_prefix))) for host, some in found.items()
    }


def _groups(published: Iterable[Published]) -> dict[str, tuple[Backend, ...]]:
    found: dict[str, list[Backend]] = defaultdict(list)
    for each in published:
        found[each.application.connector_group].append(each.backend)
    return {group: tuple(some) for group, some in found.items()}
