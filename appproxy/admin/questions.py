"""
What connectors are asked on an administrator's behalf: handed in by the daemon,
as in L{appproxy.admin.live}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from appproxy.model.principal import Principal


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


@dataclass(frozen=True)
class ExplainOutcome:
    """
    What came of each step of a sign-on.

    @ivar transaction_id: under which the connector, and the application, log it.
    @ivar steps: each with C{name}, C{outcome}, C{detail}, C{cause}, C{advice} and C{milliseconds}
        (C{docs/tunnel.md}, section 14).
    @ivar reason: why none was tried; empty if they were.
    @ivar detail: the connector's words, or ours.
    """

    transaction_id: str
    steps: Sequence[Mapping[str, object]] = ()
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

    def explain(
        self, connector: str, application: str, revision: int, principal: Principal
    ) -> Deferred[ExplainOutcome]:
        """
        Have a connector try a user's sign-on to an application.

        @param principal: with no more claims than the application needs.
        @return: does not fail for anything that the connector or the application does.
        """
