"""
Asks connectors through the edge's tunnels, wherever those end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

from twisted.internet.defer import Deferred

from appproxy.admin.questions import ExplainOutcome, ProbeOutcome
from appproxy.edge.explained import steps_of
from appproxy.edge.tunnels import Tunnels
from appproxy.httpwire.field import Field
from appproxy.model.principal import Principal
from appproxy.observe.transaction import TransactionIds
from appproxy.relay.question import Answer, QuestionFailed, ask, question
from appproxy.tunnel.questions import principal_header

PROBE_SECONDS: Final = 5.0
"""For a connection and an answer. Whoever is slower is worth a word, even if users wait for it."""

TRAIL_SECONDS: Final = 3.0
"""For a look into a connector's memory."""


EXPLAIN_SECONDS: Final = 30.0
"""For a sign-on step by step, and for the turn to be tried: a silent KDC is given up after 27 s."""


class TunnelQuestions:
    """L{appproxy.admin.questions.Connectors}, over the tunnels."""

    def __init__(self, clock: Any, tunnels: Tunnels, new_id: Callable[[], str] | None = None) -> None:
        """
        @param new_id: makes the transaction ids of questions.
        """
        self._clock = clock
        self._tunnels = tunnels
        self._new_id = new_id or TransactionIds(clock.seconds)

    async def _ask(
        self,
        method: bytes,
        target: str,
        connector: str,
        application: str,
        revision: int,
        seconds: float,
        id_: str,
        *headers: Field,
    ) -> Answer:
        message = question(method, target, connector, application, revision, id_, seconds, *headers)
        return await ask(self._clock, self._tunnels.link_to(connector), message)

    def probe(self, connector: str, application: str, revision: int) -> Deferred[ProbeOutcome]:
        """See L{appproxy.admin.questions.Connectors.probe}."""
        return Deferred.fromCoroutine(self._probe(connector, application, revision))

    async def _probe(self, connector: str, application: str, revision: int) -> ProbeOutcome:
        id_ = self._new_id()
        try:
            answer = await self._ask(b"PROBE", "/", connector, application, revision, PROBE_SECONDS, id_)
        except QuestionFailed as failed:
            return ProbeOutcome(id_, reason=failed.reason, detail=failed.detail)
        connect_ms = _number(answer.headers.get(b"appproxy-connect-ms"))
        return ProbeOutcome(
            id_, answer.status, connect_ms, _number(answer.headers.get(b"appproxy-answer-ms"))
        )

    def trail(self, connector: str, application: str, transaction_id: str) -> Deferred[Mapping[str, object]]:
        """See L{appproxy.admin.questions.Connectors.trail}."""
        return Deferred.fromCoroutine(self._trail(connector, application, transaction_id))

    async def _trail(self, connector: str, application: str, transaction_id: str) -> Mapping[str, object]:
        target = f"/{transaction_id}"
        try:
            answer = await self._ask(
                b"TRACE", target, connector, application, 0, TRAIL_SECONDS, self._new_id()
            )
        except QuestionFailed as failed:
            return {"reason": failed.reason, "detail": failed.detail}
        return _trail_of(answer.body) if answer.status == 200 else {}

    def explain(
        self, connector: str, application: str, revision: int, principal: Principal
    ) -> Deferred[ExplainOutcome]:
        """See L{appproxy.admin.questions.Connectors.explain}."""
        return Deferred.fromCoroutine(self._explain(connector, application, revision, principal))

    async def _explain(
        self, connector: str, application: str, revision: int, principal: Principal
    ) -> ExplainOutcome:
        id_, user = self._new_id(), principal_header(principal)
        try:
            answer = await self._ask(
                b"EXPLAIN", "/", connector, application, revision, EXPLAIN_SECONDS, id_, user
            )
        except QuestionFailed as failed:
            if failed.reason == "bug" and failed.detail:
                return ExplainOutcome(id_, reason="no_questions", detail="it does not know this question")
            return ExplainOutcome(id_, reason=failed.reason, detail=failed.detail)
        if answer.status == 404:
            return ExplainOutcome(id_, reason="no_steps")
        steps = steps_of(answer.body) if answer.status == 200 else []
        if not steps:
            return ExplainOutcome(id_, reason="tunnel_lost", detail="not an answer of a connector")
        return ExplainOutcome(id_, steps)


_TRAIL: Final[Mapping[str, type | tuple[type, ...]]] = {
    "application": str,
    "began": (int, float),
    "connected_ms": (int, float),
    "signed_on_ms": (int, float),
    "answered_ms": (int, float),
    "ended_ms": (int, float),
    "reused": bool,
    "status": int,
    "reason": str,
    "detail": str,
}
"""A connector is believed nothing: what is of another type is left out, and what is longer is cut."""

_LONGEST: Final = 512


def _trail_of(body: bytes) -> dict[str, object]:
    try:
        told = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict) or not isinstance(told.get("began"), (int, float)):
        return {}
    kept = {name: told[name] for name, kind in _TRAIL.items() if isinstance(told.get(name), kind)}
    return {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in kept.items()}


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _number(text: bytes | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and isfinite(number) else None
