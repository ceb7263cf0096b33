"""
The tree of pages: sign-in, portal, assets, and published applications as resources.

The gate has judged before a request comes here; this only finds its resource.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import Request, Site

from appproxy.edge.page_channel import EdgeRequest
from appproxy.model.refusal import Error, Refusal
from appproxy.pages.answers import HTML, TEXT, ReadOnly, respond
from appproxy.pages.pages import Pages
from appproxy.pages.request import transaction_of


class NotFoundPage(Resource):
    """Nothing here, and nothing said of what is elsewhere."""

    isLeaf = True

    def __init__(self, pages: Pages) -> None:
        Resource.__init__(self)
        self._pages = pages

    def render(self, request: Request) -> bytes:
        """A plain 404 with the transaction id."""
        transaction_id = getattr(request, "transaction_id", "")
        if isinstance(request, EdgeRequest):
            request.refusal = Refusal(Error.NotFound, "unknown_path")
        return respond(request, 404, self._pages.neutral_not_found(transaction_id), HTML, transaction_id)


class ToPortal(ReadOnly):
    """The sign-in host's own root leads to the portal."""

    def __init__(self, portal_url: str, not_found: IResource) -> None:
        Resource.__init__(self)
        self._portal_url = portal_url.encode()
        self._not_found = not_found

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Only the root is there."""
        return self if path == b"" and not request.postpath else self._not_found

    def render_GET(self, request: Request) -> bytes:
        """303 to the portal."""
        request.setHeader(b"Location", self._portal_url)
        return respond(request, 303, b"", TEXT, transaction_of(request))


class EdgeSite(Site):
    """
    Finds the resource of an L{EdgeRequest} by what the gate said.

    @ivar published: answers for every published application; set once the
        reactor is installed, since Twisted's proxy module imports it.
    """

    def __init__(
        self,
        pages: Pages,
        auth_host: bytes,
        auth_root: Resource,
        auth_reserved: Resource,
        portal_host: bytes,
        portal: Resource,
        reserved: Resource,
        reactor: Any,
    ) -> None:
        """
        @param reserved: what is below C{/.appproxy/} on every host.
        @param auth_reserved: the same on the sign-in host, with more in it.
        """
        Site.__init__(self, NotFoundPage(pages), requestFactory=EdgeRequest, reactor=reactor)
        self.displayTracebacks = False
        self.published: IResource | None = None
        self._auth_host = auth_host
        self._auth_root = auth_root
        self._auth_reserved = auth_reserved
        self._portal_host = portal_host
        self._portal = portal
        self._reserved = reserved

    def getResourceFor(self, request: Request) -> IResource:
        """The resource for a request that the gate let through."""
        assert isinstance(request, EdgeRequest)
        if request.forward is not None and self.published is not None:
            return self.published
        root = self._root_for(request)
        found: IResource = getChildForRequest(root, request)
        return found

    def log(self, request: Any) -> None:
        """Nothing: the access log has its line."""

    def _root_for(self, request: EdgeRequest) -> IResource:
        host = request.host_name
        is_auth = host == self._auth_host
        if request.postpath and request.prepath is not None and request.postpath[0] == b".appproxy":
            request.prepath.append(request.postpath.pop(0))
            return self._auth_reserved if is_auth else self._reserved
        if is_auth:
            return self._auth_root
        return self._portal if host == self._portal_host else self.resource
