"""
A user's sign-on, tried step by step for an edge that asks: section 14 of C{docs/tunnel.md}.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.connector.backend_request import allowed
from appproxy.connector.dial import BackendError
from appproxy.connector.first_page import FirstPage
from appproxy.connector.first_page_verdict import ANSWER
from appproxy.connector.opening import ExchangeServices
from appproxy.connector.question import Question
from appproxy.connector.served import Served
from appproxy.httpwire.block import Blocks
from appproxy.httpwire.heads import NO_BODY
from appproxy.httpwire.wire_heads import pack_response
from appproxy.model.principal import Principal
from appproxy.sso.sign_on import Step
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.questions import principal_of
from appproxy.tunnel.stream import Stream

_log: Final = Logger(__name__)

LONGEST_SECONDS: Final = 30.0
"""However long an edge would wait. A KDC that is silent holds a thread for 27 s."""

MAXIMUM_WAITING: Final = 4
"""
Questions that wait while one is answered: some administrators at a time. The KDC and the directory
have users to serve.
"""

MAXIMUM_STEPS: Final = 32
"""Three times what any sign-on has."""

MAXIMUM_ANSWER: Final = 64 << 10
"""Bytes; what an edge reads."""

_BUG: Final = Step(
    "The sign-on's steps", "failed", "a bug of ours", "bug", "The connector's log has a traceback: report it."
)

_TEXT_LENGTHS: Final = (2000, 500, 80)
"""Characters of each text, the first of them with which the answer is short enough."""


def explanation(steps: Sequence[Step]) -> bytes:
    """The answer's JSON: no longer than L{MAXIMUM_ANSWER}."""
    content = b""
    for longest in _TEXT_LENGTHS:
        told = [_cut(step, longest) for step in steps[:MAXIMUM_STEPS]]
        content = json.dumps({"steps": told}, ensure_ascii=False).encode("utf-8", "replace")
        if len(content) <= MAXIMUM_ANSWER:
            break
    return content


def _cut(step: Step, longest: int) -> dict[str, Any]:
    told = asdict(step)
    cut = {name: value[:longest] if isinstance(value, str) else value for name, value in told.items()}
    return cut | {"milliseconds": round(step.milliseconds, 1)}


def _first_failed(steps: Sequence[Step]) -> Step | None:
    return next((step for step in steps if step.outcome == "failed"), None)


class Explanation(Question):
    """
    Waits for its turn, has the mode try its steps, calls the application, and answers.
    """

    event = "explain"

    def __init__(self, services: ExchangeServices, stream: Stream, message: OpenMessage) -> None:
        Question.__init__(self, services, stream, message)
        self._within = ""
        self._until = 0.0
        self._has_turn = False
        self._waiting: Deferred[Any] | None = None
        self._steps: list[Step] = []
        self._page: FirstPage | None = None

    def begin(self, headers: Blocks) -> None:
        """
        Take the first step, or say why not.

        @param headers: the question's.
        """
        message, services, stream = self.message, self.services, self.stream
        assert stream is not None, "it was just opened"
        if services.catalog.revision < message.revision:
            self.refuse("stale", f"catalog revision {message.revision} is not here yet")
            return
        try:
            served = allowed(services.catalog, message.application)
            principal = principal_of(headers)
        except BackendError as problem:
            self.refuse(problem.reason, problem.detail)
            return
        except ValueError as problem:
            self.refuse("bug", str(problem))
            return
        if len(services.explaining.waiting) >= MAXIMUM_WAITING:
            self.refuse("busy", f"{MAXIMUM_WAITING} others wait already")
            return
        stream.handler = self
        patience = min(message.deadline_ms / 1000 or LONGEST_SECONDS, LONGEST_SECONDS)
        self._within = f"within {patience:g} s"
        self._until = self.seconds() + patience
        self.timer = services.wheel.add(patience, self._late)
        turn = self._waiting = services.explaining.acquire()
        turn.addCallback(lambda _: self._my_turn(served, principal))
        turn.addErrback(self._went_wrong)

    # -- the mode's steps

    def _my_turn(self, served: Served, principal: Principal) -> None:
        self._waiting = None
        self._has_turn = True
        if self.seconds() >= self._until:
            self._never_begun()
            return
        steps = served.sign_on.explain(principal)
        if steps is None:
            self.answer(pack_response(404, NO_BODY, []))
            return
        self._waiting = steps
        steps.addCallback(lambda tried: self._tried(served, principal, tried))
        steps.addErrback(self._went_wrong)

    def _tried(self, served: Served, principal: Principal, steps: list[Step]) -> None:
        self._waiting = None
        if self.stream is None:
            return
        failed = _first_failed(steps)
        if failed is not None:
            self._not_called(steps, failed)
            return
        self._steps = steps
        page = self._page = FirstPage(served, principal, self.message, self.seconds, self._answered)
        page.begin()

    def _not_called(self, steps: list[Step], failed: Step) -> None:
        self._steps = steps
        self._answered(Step(ANSWER, "skipped", f'since "{failed.name}" failed'))

    def _answered(self, step: Step) -> None:
        self._page = None
        # The application's is the last one, however many there are.
        steps = [*self._steps[: MAXIMUM_STEPS - 1], step]
        content = explanation(steps)
        self.answer(pack_response(200, len(content), []), content)
        failed = _first_failed(steps)
        self.log(*(("failed", f"{failed.name}: {failed.cause}") if failed is not None else ("ok", "")))

    def _late(self) -> None:
        self.timer = None
        if self._page is not None:
            self._page.give_up(self._within)
        elif not self._has_turn:
            self._never_begun()
        else:
            self.refuse("sso_timeout", f"the steps were not through {self._within}")

    def _never_begun(self) -> None:
        self.refuse("busy", f"others were explained, and not through {self._within}")

    def _went_wrong(self, failure: Failure) -> None:
        """Our own mistake: it costs this explanation, and the edge is told of it as of a step."""
        self._waiting = None
        if self.stream is None and failure.check(CancelledError):
            return
        _log.failure("{event}: explaining a sign-on", failure, event="bug", fault="ours")
        self._not_called([_BUG], _BUG)

    # -- the end

    def let_go(self) -> None:
        """End what is under way; the next one has its turn."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        page, self._page = self._page, None
        if page is not None:
            page.cancel()
        if self._has_turn:
            self._has_turn = False
            self.services.explaining.release()
