"""
What became of one request, at the edge and behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IReactorTime

from appproxy.admin.errors import AdminError, bad_request
from appproxy.admin.objects import Row
from appproxy.admin.questions import Connectors
from appproxy.catalog.feed import ConnectorFeed
from appproxy.model.advice import advice
from appproxy.observe.recent import Recent
from appproxy.observe.transaction import Transaction, time_of

MAXIMUM_ASKED: Final = 16
"""Connectors of a group that are asked for one request; it went to one or two of them."""

_SESSION_SHOWN: Final = 8

_Told = Mapping[str, Any]


class Traces:
    """
    Finds a request in the edge's memory, and asks the connectors of its group.

    @param log_place: where else to look, in words.
    """

    def __init__(
        self,
        clock: IReactorTime,
        recent: Recent,
        registry: ConnectorFeed,
        connectors: Connectors,
        log_place: str,
    ) -> None:
        self._clock = clock
        self._started = clock.seconds()
        self._recent = recent
        self._registry = registry
        self._connectors = connectors
        self._log_place = log_place

    async def show(self, transaction_id: str) -> Row:
        """
        Everything that is known of a request.

        @raise AdminError: if nothing is.
        """
        transaction_id = transaction_id.strip().upper()
        made = time_of(transaction_id)
        if made is None:
            raise bad_request(f'"{transaction_id}" is no transaction id: those have 26 letters and digits')
        found = self._recent.find(transaction_id)
        if found is None:
            raise self._unknown(transaction_id, made)
        told = await self._ask(found)
        return {
            "transaction_id": found.id,
            "request": _request(found),
            "timeline": list(self._timeline(found, told)),
            "error": found.error or None,
            "reason": found.reason or None,
            "detail": _detail(found),
            "meaning": _meaning(found) or None,
        }

    def _unknown(self, transaction_id: str, made: float) -> AdminError:
        when = _rfc3339(made)
        if made > self._clock.seconds() + 1:
            why = f"its time, {when}, is yet to come: it is mistyped, or of a machine with another clock"
        elif made < self._started:
            why = f"it is of {when}, before this edge was started"
        else:
            why = (
                f"it is of {when}: it is under way still, is another edge's, or others have taken its "
                "place in memory"
            )
        message = f"this edge does not know the request {transaction_id}: {why}; {self._log_place}"
        return AdminError(404, "not_found", message, made_at=when)

    # -- connectors

    async def _ask(self, transaction: Transaction) -> Sequence[tuple[str, _Told]]:
        """What each connector of its group says that has something to say, the first one first."""
        if not transaction.connector:
            return []
        group = [
            (id_, known.name)
            for id_, known in self._registry.current.items()
            if known.role == "connector"
            and not known.revoked_at
            and known.group == transaction.connector_group
        ][:MAXIMUM_ASKED]
        answers = await gatherResults(
            [self._connectors.trail(id_, transaction.application, transaction.id) for id_, _ in group],
            consumeErrors=True,
        )
        told = [(name, answer) for (_, name), answer in zip(group, answers, strict=True) if answer]
        known_there = sorted((each for each in told if "began" in each[1]), key=_began)
        return known_there or told

    # -- the timeline

    def _timeline(self, transaction: Transaction, told: Sequence[tuple[str, _Told]]) -> Iterator[Row]:
        t = transaction
        yield _step("edge", 0.0, f"received from {t.client_address or 'a client'}")
        if not t.connector:
            yield _step("edge", None, self._own_answer(t))
        else:
            yield _step("edge", None, f"judged: forwarded to {t.application}, group {t.connector_group}")
            yield from self._attempts(t)
            for name, trail in told:
                yield from _at_connector(name, trail)
        if t.first_byte >= 0:
            yield _step("edge", t.first_byte, f"answer began: {t.status}")
        yield _step("edge", t.duration, _end_of(t))

    def _own_answer(self, transaction: Transaction) -> str:
        if transaction.error:
            return f"judged: {transaction.error}, {transaction.reason}"
        return "judged: answered by the edge itself"

    def _attempts(self, transaction: Transaction) -> Iterator[Row]:
        t, last = transaction, None
        for number, step in enumerate(t.steps):
            again = "stream opened" if number == 0 else "tried again"
            yield _step("edge", last, f"{again} {self._through(step.connector, step.relay)}")
            detail = f": {step.detail}" if step.detail else ""
            yield _step("edge", step.after, f"given up there: {step.reason}{detail}")
            last = step.after
        if t.retries >= len(t.steps):
            again = "stream opened" if not t.steps else "tried again"
            yield _step("edge", last, f"{again} {self._through(t.connector, t.relay)}")

    def _through(self, connector: str, relay: str) -> str:
        if not relay:
            return f"to connector {connector}"
        known = self._registry.current.get(relay)
        named = f"through relay {relay if known is None else known.name}"
        # Which connector it was only the relay knows.
        return named if connector == relay else f"{named} to connector {connector}"


def _began(told: tuple[str, _Told]) -> float:
    return float(told[1]["began"])


def _at_connector(name: str, trail: _Told) -> Iterator[Row]:
    where = f"connector {name}"
    if "began" not in trail:
        yield _step(where, None, f"cannot be asked: {trail['reason']}: {trail['detail']}")
        return
    yield _step(where, 0.0, "request came")
    if "connected_ms" in trail:
        yield _told_step(where, trail["connected_ms"], "new connection to the application")
    elif trail.get("reused"):
        yield _step(where, None, "sent on a connection that was there")
    if "signed_on_ms" in trail:
        yield _told_step(where, trail["signed_on_ms"], "user signed on")
    if "answered_ms" in trail:
        yield _told_step("application", trail["answered_ms"], f"answered {trail.get('status', '')}")
    if "reason" in trail:
        detail = f": {trail['detail']}" if trail.get("detail") else ""
        yield _told_step(where, trail.get("ended_ms"), f"failed: {trail['reason']}{detail}")
    elif "ended_ms" in trail:
        what = "answer complete" if "answered_ms" in trail else "given up by the edge"
        yield _told_step(where, trail["ended_ms"], what)


def _end_of(transaction: Transaction) -> str:
    t = transaction
    if t.reason and not t.error:
        return f"broken off: {t.reason}, after {t.bytes_out} bytes"
    own = f" ({t.error})" if t.error else ""
    return f"answer complete: {t.status}{own}, {t.bytes_out} bytes"


def _step(where: str, seconds: float | None, what: str) -> Row:
    return _told_step(where, None if seconds is None or seconds < 0 else round(seconds * 1000, 1), what)


def _told_step(where: str, milliseconds: float | None, what: str) -> Row:
    return {"where": where, "ms": milliseconds, "what": what}


def _request(transaction: Transaction) -> Row:
    t = transaction
    return {
        "time": _rfc3339(t.started),
        "client_address": t.client_address or None,
        "method": t.method.decode("latin-1") or None,
        "host": t.host.decode("latin-1") or None,
        "path": t.target.decode("latin-1") or None,
        "application": t.application or None,
        "user": t.user or None,
        "session": t.session[:_SESSION_SHOWN] or None,
        "protocol": t.protocol,
        "status": t.status or None,
        "bytes_in": t.bytes_in,
        "bytes_out": t.bytes_out,
        "duration_ms": round(t.duration * 1000, 1),
        "retries": t.retries,
    }


def _detail(transaction: Transaction) -> str | None:
    return next((step.detail for step in reversed(transaction.steps) if step.detail), None)


def _meaning(transaction: Transaction) -> str:
    t = transaction
    if not t.reason and t.status >= 400:
        return "The application itself answered so: its own log says why."
    return advice(t.reason)


def _rfc3339(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
