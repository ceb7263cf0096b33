"""
What the edge works out once for each published application, so that a request
only looks it up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from appproxy.catalog.snapshot import Catalog
from appproxy.httpwire.rules import RequestRules
from appproxy.model.application import Application
from appproxy.model.sign_on import HeaderSignOn, KerberosSignOn


class ApplicationView:
    """
    One application as the edge's request path sees it.

    @ivar revision: the catalog's revision that this view was made from.
    @ivar claims: the claims that the application's connector is told.
    @ivar identity: the headers that clients may not send, since only the connector may set them.
    @ivar loses_prefix: whether its server gets paths without a part that they begin with outside.
    """

    __slots__ = (
        "application",
        "backend_timeout_seconds",
        "claims",
        "group",
        "id",
        "identity",
        "loses_prefix",
        "origin",
        "origins",
        "passes_ambiguous_paths",
        "passthrough",
        "port",
        "revision",
        "rules",
        "scheme",
        "upgrades",
    )

    def __init__(
        self,
        application_id: str,
        application: Application,
        claims: frozenset[str],
        identity: frozenset[bytes],
        revision: int,
    ) -> None:
        self.id = application_id
        self.application = application
        self.group = application.connector_group
        self.claims = claims
        self.identity = identity
        self.revision = revision
        self.passthrough = application.pre_authentication == "passthrough"
        self.backend_timeout_seconds = application.backend_timeout
        self.upgrades = frozenset(token.encode() for token in application.upgrades)
        self.scheme = application.external_url.scheme.encode()
        self.port = application.external_url.port
        self.origin = application.external_url.origin
        self.origins = _origins(application)
        # A ticket cannot be forged, so only this application's own requests lose theirs.
        signs_on = {b"authorization"} if isinstance(application.sso, KerberosSignOn) else frozenset()
        self.rules = RequestRules(identity | signs_on)
        self.passes_ambiguous_paths = application.ambiguous_paths == "pass"
        self.loses_prefix = application.internal_url.path == "/" != application.external_url.path


def identity_headers(catalog: Catalog) -> Mapping[tuple[str, int], frozenset[bytes]]:
    """
    For each server inside, the headers that only the connector may set there.

    One server is often published in parts, and believes a header whichever part it comes
    through: what signs users on to one part nobody may send to another.
    """
    headers: dict[tuple[str, int], frozenset[bytes]] = {}
    for published in catalog.published.values():
        sso = published.application.sso
        own = (
            frozenset(name.encode() for name in sso.headers) if isinstance(sso, HeaderSignOn) else frozenset()
        )
        server = _server(published.application)
        headers[server] = headers.get(server, frozenset()) | own
    return headers


def _server(application: Application) -> tuple[str, int]:
    return application.internal_url.host, application.internal_url.port


def _origins(application: Application) -> frozenset[bytes] | None:
    """Who may open a WebSocket; L{None} for anybody."""
    if "*" in application.websocket_origins:
        return None
    own = application.external_url.origin.lower()
    return frozenset(origin.rstrip("/").lower().encode() for origin in (own, *application.websocket_origins))


def group_claims(catalog: Catalog) -> Mapping[str, frozenset[str]]:
    """For each connector group, every claim that one of its applications needs."""
    claims: dict[str, frozenset[str]] = {}
    for published in catalog.published.values():
        group = published.application.connector_group
        claims[group] = claims.get(group, frozenset()) | published.backend.claims
    return claims


class ApplicationViews:
    """
    The views of the current catalog, made anew when it changes.

    Views of applications that did not change keep their identity.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, ApplicationView] = {}

    def update(self, catalog: Catalog, ended: Callable[[str], None]) -> None:
        """
        Follow the catalog.

        @param ended: called with the id of every application that is gone or no
            longer means the same, so that its open streams end.
        """
        claims, headers = group_claims(catalog), identity_headers(catalog)
        views: dict[str, ApplicationView] = {}
        for published in catalog.published.values():
            application = published.application
            needed, identity = claims[application.connector_group], headers[_server(application)]
            view = self.by_id.get(published.id)
            if (
                view is None
                or view.application != application
                or (view.claims, view.identity) != (needed, identity)
            ):
                view = ApplicationView(published.id, application, needed, identity, catalog.revision)
            views[published.id] = view
        before, self.by_id = self.by_id, views
        for application_id, old_view in before.items():
            if self._means_something_else(old_view, views.get(application_id)):
                ended(application_id)

    @staticmethod
    def _means_something_else(old: ApplicationView, new: ApplicationView | None) -> bool:
        if new is None:
            return True
        if new is old:
            return False
        cosmetic = {"name", "description", "category", "visible", "home_page_url"}
        return old.application.model_dump(exclude=cosmetic) != new.application.model_dump(exclude=cosmetic)
