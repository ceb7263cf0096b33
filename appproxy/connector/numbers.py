"""
What the connector counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from appproxy.connector.supervisor import Supervisor
from appproxy.connector.tally import Tally
from appproxy.observe.metrics import Metrics
from appproxy.observe.series import Key
from appproxy.sso.modes import SignOns

if TYPE_CHECKING:
    from appproxy.kerberos.tickets import Tickets


class ConnectorNumbers:
    """
    @ivar metrics: for the scrape.
    @ivar served: takes note of a request that came through a tunnel, by its application.
    """

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.served = Tally(self.metrics.requests).served

    def watch(self, supervisor: Supervisor, seconds_left: Callable[[], float]) -> None:
        """
        Read the gauges from here.

        @param seconds_left: until the connector's certificate ends.
        """
        traffic = supervisor.traffic
        self.metrics.count_from(
            "tunnel_bytes",
            lambda: {("in",): traffic.received_bytes, ("out",): traffic.sent_bytes},
        )
        self.metrics.count_from("tunnel_paused_seconds", lambda: {(): traffic.paused_seconds})
        watch = self.metrics.watch
        watch("tunnels", lambda: len(supervisor.ends))
        watch("requests_active", lambda: sum(end.session.active_streams for end in supervisor.ends))
        watch("catalog_revision", lambda: max((end.catalog.revision for end in supervisor.ends), default=0))
        watch("backend_connections", lambda: _connections(supervisor))
        watch("certificate_expiry_seconds", lambda: {("identity",): seconds_left()})

    def watch_sign_on(self, sign_ons: SignOns, tickets: Tickets | None) -> None:
        """
        Read from here what becomes of sign-ons.

        @param tickets: of Kerberos, where that is allowed.
        """
        self.metrics.count_from(
            "sign_on_failures", lambda: {(cause,): count for cause, count in sign_ons.failures.items()}
        )
        watch = self.metrics.watch
        # Without Kerberos they are there, too: an alert must find what it looks for.
        watch("kerberos_tickets", lambda: tickets.cached if tickets is not None else 0)
        watch("kerberos_silent_realms", lambda: tickets.silent_realms if tickets is not None else 0)
        if tickets is not None:
            self.metrics.count_from(
                "kerberos_tokens", lambda: {("kept",): tickets.hits, ("asked",): tickets.misses}
            )


def _connections(supervisor: Supervisor) -> Mapping[Key, float]:
    counted: Counter[Key] = Counter()
    for end in supervisor.ends:
        for served in end.catalog.all:
            pool = served.pool
            counted[served.backend.id, "idle"] += pool.idle
            counted[served.backend.id, "busy"] += pool.connections - pool.idle
    return dict(counted)
