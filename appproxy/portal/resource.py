"""
The portal host's pages: the tiles, a search over them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from appproxy.model.refusal import Error, Refusal
from appproxy.pages.answers import ReadOnly, respond
from appproxy.pages.request import PageRequest

if TYPE_CHECKING:
    from appproxy.model.principal import Principal
    from appproxy.pages.pages import Pages
    from appproxy.pages.tiles import Tile

MAXIMUM_QUERY_LENGTH: Final = 100
"""Characters of a search that are looked at; the field on the page takes no more."""


class Portal(ReadOnly):
    """
    The resource at the root of the portal host.

    The edge lets nobody in without a session; whoever comes without one all
    the same is refused here.

    @param pages: renders.
    @param visible_applications: what a user may open and see, in any order.
    @param now: seconds since the epoch.
    """

    def __init__(
        self,
        pages: Pages,
        visible_applications: Callable[[Principal], Sequence[Tile]],
        now: Callable[[], float],
    ) -> None:
        Resource.__init__(self)
        self._pages = pages
        self._visible_applications = visible_applications
        self._now = now

    def getChild(self, path: bytes, request: Request) -> IResource:
        if path == b"" and not request.postpath:
            return self
        return _Refuse(self, Refusal(Error.NotFound, "unknown_path"))

    def render_GET(self, request: PageRequest) -> bytes:
        """The tiles; C{?q=} narrows them."""
        principal = request.principal
        if principal is None:
            return self.refuse(request, Refusal(Error.SignInRequired, "no_session"))
        query = search_query(request)
        every = sorted(
            self._visible_applications(principal), key=lambda tile: (tile.name.casefold(), tile.id)
        )
        body = self._pages.portal(
            [tile for tile in every if tile.matches(query)],
            user=principal.label,
            display_name=principal.display_name,
            query=query,
            total=len(every),
        )
        return self._respond(request, 200, body)

    def refuse(self, request: PageRequest, refusal: Refusal) -> bytes:
        """The error page for C{refusal}."""
        request.refusal = refusal
        body = self._pages.error(
            refusal,
            request.transaction_id,
            self._now(),
            host=request.host_name.decode("ascii", "replace"),
            user=request.principal.label if request.principal else None,
        )
        return self._respond(request, refusal.status, body)

    def _respond(self, request: PageRequest, status: int, body: bytes) -> bytes:
        return respond(
            request,
            status,
            body,
            transaction_id=request.transaction_id,
            form_targets=self._pages.form_targets,
        )


class _Refuse(Resource):
    isLeaf = True

    def __init__(self, portal: Portal, refusal: Refusal) -> None:
        Resource.__init__(self)
        self._portal = portal
        self._refusal = refusal

    def render(self, request: PageRequest) -> bytes:
        return self._portal.refuse(request, self._refusal)


def search_query(request: Request) -> str:
    """The words searched for, blanks folded, cut to L{MAXIMUM_QUERY_LENGTH}."""
    raw = (request.args or {}).get(b"q", [b""])[0]
    return " ".join(raw.decode("utf-8", "replace").split())[:MAXIMUM_QUERY_LENGTH]
