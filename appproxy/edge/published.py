"""
Published applications as resources: the second front end.

The stock resource opens a connection for each request, keeps whole bodies in
memory and passes hop-by-hop headers on. This one keeps its place in a tree of
resources and hands the request to an L{Exchange} instead.
"""

from __future__ import annotations

from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import NOT_DONE_YET

from appproxy.edge.exchange import Exchange, ExchangeServices
from appproxy.edge.page_channel import EdgeRequest


class PublishedApplication(ReverseProxyResource):
    """
    Forwards a request that the gate let through, over a stream of the tunnel.

    Body and answer stream in both directions; the request's own channel frames.
    """

    isLeaf = True

    def __init__(self, exchanges: ExchangeServices) -> None:
        # No host, port or path of a backend: the edge does not know them.
        ReverseProxyResource.__init__(self, "", 0, b"", reactor=None)
        self._exchanges = exchanges

    def render(self, request: EdgeRequest) -> int:
        """Start the exchange; it writes to the front end that took the request."""
        stream = request.stream
        forward = request.forward
        if forward is None:
            raise TypeError("a published application was asked without the gate's verdict")
        exchange = Exchange(self._exchanges, stream.writer, stream.client_connection, stream.transaction)
        stream.hand_over(exchange)
        exchange.begin(stream.request_head, forward)
        return NOT_DONE_YET
