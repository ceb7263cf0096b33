"""
What connectors are asked on an administrator's behalf: handed in by the daemon,
as in L{appproxy.admin.live}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred


@dataclass(frozen=True)
class ProbeOutcome:
    """
    Whether a connector reaches an application.

    @ivar status: what the application answered; 0 if it did not.
    @ivar reason: why not; empty if it did.
    @ivar detail: the connector's words.
    @ivar transaction_id: under which the connector, and the application, log the probe.
    """

    transaction_id: str
    status: int = 0
    connect_ms: float | None = None
    answer_ms: float | None = None
    reason: str = ""
    detail: str = ""


class Connectors(Protocol):
    """Asks a connector through its tunnel."""

    def probe(self, connector: str, application: str, revision: int) -> Deferred[ProbeOutcome]:
        """
        Have a connector call an application.

        @param connector: its id.
        @return: does not fail for anything that the connector or the application does.
        """

    def trail(self, connector: str, application: str, transaction_id: str) -> Deferred[Mapping[str, object]]:
        """
        Ask a connector what it knows of a request.

        @return: what it says (C{docs/tunnel.md}, section 14); empty if it knows nothing, C{reason}
            and C{detail} alone if it cannot be asked.
        """
