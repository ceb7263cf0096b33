"""
The metrics and health listener: C{/metrics}, C{/healthz}, C{/readyz}; on loopback unless configured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from appproxy.observe.metrics import Metrics

IDLE_SECONDS: Final = 30
"""A scraper asks every 15 or 30 s; whoever says nothing for longer may connect again."""


class MetricsSite(Resource):
    """
    The root: all that monitoring asks a daemon.

    Shows numbers only, no names of users and no secrets; still nothing for the public port.
    """

    def __init__(self, metrics: Metrics, ready: Callable[[], bool]) -> None:
        """
        @param ready: whether requests can be served now.
        """
        Resource.__init__(self)
        self.putChild(b"metrics", _Numbers(metrics))
        self.putChild(b"healthz", _Health(lambda: True))
        self.putChild(b"readyz", _Health(ready))


class _Numbers(Resource):
    isLeaf = True

    def __init__(self, metrics: Metrics) -> None:
        Resource.__init__(self)
        self._registry = CollectorRegistry()
        self._registry.register(metrics)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())
        return generate_latest(self._registry)


class _Health(Resource):
    isLeaf = True

    def __init__(self, good: Callable[[], bool]) -> None:
        Resource.__init__(self)
        self._good = good

    def render_GET(self, request: Request) -> bytes:
        good = self._good()
        request.setResponseCode(200 if good else 503)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        return b"ok\n" if good else b"no\n"


def metrics_site(metrics: Metrics, ready: Callable[[], bool], reactor: Any) -> Site:
    """The factory for the metrics listener; its C{buildProtocol} is what a plain listener wants."""
    site = Site(MetricsSite(metrics, ready), timeout=IDLE_SECONDS, reactor=reactor)
    site.displayTracebacks = False
    site.noisy = False
    return site
