"""
The request that every page of ours is rendered for.

The edge makes one from values that it parsed already and fills in what it
knows; resources (sign-in, portal, error pages) only read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.server import Request

if TYPE_CHECKING:
    from appproxy.model.principal import Principal
    from appproxy.model.refusal import Refusal


class PageRequest(Request):
    """
    A L{Request} that knows who asks and under which transaction.

    @ivar transaction_id: the id that log, page and connector share.
    @ivar principal: the signed-in user, or L{None} before sign-in.
    @ivar client_address: the client's address as the log shows it.
    @ivar host_name: lower-case host that was asked for, without its port.
    @ivar refusal: why the request is turned away, for the log; set by whoever answers.
    @ivar scheme_port: scheme and port of the listener, as C{"https:443"}.
    """

    transaction_id: str = ""
    principal: Principal | None = None
    client_address: str = ""
    host_name: bytes = b""
    scheme_port: str = "https:443"
    refusal: Refusal | None = None

    @property
    def scheme(self) -> str:
        """C{"https"} or C{"http"}."""
        return self.scheme_port.partition(":")[0]

    @property
    def port(self) -> int:
        """The port that the client connected to, as clients see it."""
        return int(self.scheme_port.partition(":")[2] or (443 if self.scheme == "https" else 80))

    @property
    def origin(self) -> str:
        """This host as the serialised origin (RFC 6454, section 6.2): no default port."""
        usual = {"https": 443, "http": 80}.get(self.scheme)
        suffix = "" if self.port == usual else f":{self.port}"
        host = self.host_name.decode("ascii", "replace")
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{self.scheme}://{host}{suffix}"


def transaction_of(request: Request) -> str:
    """The transaction id of a request, empty if it is not one of the edge's."""
    return request.transaction_id if isinstance(request, PageRequest) else ""
