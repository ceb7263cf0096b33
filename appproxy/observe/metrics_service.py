"""
The metrics listener as a service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort

from appproxy.observe.metrics import Metrics, ReactorLag
from appproxy.observe.metrics_site import metrics_site

Listen = Callable[[Callable[[Any], Any]], Deferred[list[IListeningPort]]]
"""Listens with a C{buildProtocol}."""


class MetricsService(Service):
    """
    @param listen: opens the listener.
    @param ready: whether requests can be served now.
    """

    def __init__(self, reactor: Any, listen: Listen, metrics: Metrics, ready: Callable[[], bool]) -> None:
        self._lag = ReactorLag(reactor)
        self._site = metrics_site(metrics, ready, reactor)
        self._listen = listen
        self._ports: list[IListeningPort] = []
        metrics.watch("reactor_lag_seconds", lambda: self._lag.seconds)
        metrics.watch("reactor_timers", lambda: len(reactor.getDelayedCalls()))

    async def start(self) -> None:
        """
        Listen.

        @raise CannotListenError: if the address is taken.
        """
        self.startService()  # type: ignore[no-untyped-call]
        self._site.doStart()
        self._ports = await self._listen(self._site.buildProtocol)
        self._lag.start()

    def stopService(self) -> Deferred[Any]:
        """Listen no longer."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._lag.stop()
        self._site.doStop()
        return DeferredList([maybeDeferred(port.stopListening) for port in self._ports])
