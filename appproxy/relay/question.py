"""
Asks a connector something through its tunnel: section 14 of C{docs/tunnel.md}.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from appproxy.httpwire.block import Blocks, blocks_of, fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Field, field
from appproxy.httpwire.wire_heads import pack_request, unpack_request, unpack_response
from appproxy.relay.link import ConnectorLink
from appproxy.relay.relay_link import RelayLink
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.messages import ANONYMOUS, NO_BODY, NO_DIGEST, OpenMessage
from appproxy.tunnel.stream import Stream

CONNECTOR: Final = b"AppProxy-Connector"

MAXIMUM_ANSWER: Final = 64 << 10
"""Bytes; a trail has some hundred. A stolen connector cannot fill the edge's memory."""

GRACE_SECONDS: Final = 3.0
"""Beyond the connector's own deadline, which is up to a second late: past this the connector is silent."""


class QuestionFailed(Exception):
    """
    There is no answer.

    @ivar reason: as in RESET.
    @ivar detail: the connector's words, or ours.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Answer(NamedTuple):
    """
    What the connector says.

    @ivar headers: by lower-case name.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def asked_connector(head: bytes) -> str:
    """The id of the connector that a question is for; empty if it names none."""
    try:
        headers = unpack_request(head)[2]
    except BadMessage:
        return ""
    return _headers(headers).get(CONNECTOR.lower(), b"").decode("latin-1")


def question(
    method: bytes,
    target: str,
    connector: str,
    application: str,
    revision: int,
    transaction_id: str,
    deadline_seconds: float,
    *headers: Field,
) -> OpenMessage:
    """
    The OPEN of a question.

    @param transaction_id: of the question itself.
    @param headers: what more it has to say.
    """
    blocks = blocks_of([field(CONNECTOR, connector.encode()), *headers])
    head = pack_request(method, target.encode(), blocks)
    deadline_ms = int(deadline_seconds * 1000)
    return OpenMessage(
        deadline_ms,
        transaction_id,
        application,
        revision,
        ANONYMOUS,
        NO_DIGEST,
        NO_BODY,
        False,
        head,
        ask=True,
    )


def ask(
    clock: IReactorTime, link: ConnectorLink | RelayLink | None, message: OpenMessage
) -> Deferred[Answer]:
    """
    Ask, and wait for the answer; not longer than L{GRACE_SECONDS} after the question's deadline.

    @param link: where the connector is reached, if it is.
    @return: fails with L{QuestionFailed}.
    """
    if link is None:
        return fail(QuestionFailed("no_connector", "it has no tunnel"))
    if not link.takes_questions:
        return fail(QuestionFailed("no_questions", link.software))
    waiting = _Waiting()
    try:
        waiting.stream = link.ask(message, waiting)
    except TunnelRefused as refused:
        return fail(QuestionFailed(refused.reason, refused.detail))
    seconds = message.deadline_ms / 1000 + GRACE_SECONDS

    def late(_result: object, _seconds: float) -> Answer:
        raise QuestionFailed("connector_timeout", f"no word from the connector within {seconds:g} s")

    return waiting.answer.addTimeout(seconds, clock, onTimeoutCancel=late)


class _Waiting:
    """
    Collects the answer.

    A L{appproxy.tunnel.handler.StreamHandler}.
    """

    def __init__(self) -> None:
        self.answer: Deferred[Answer] = Deferred(self._cancelled)
        self.stream: Stream | None = None
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def head(self, payload: bytes) -> None:
        """Status and headers."""
        try:
            self._status, _length, headers = unpack_response(payload)
        except BadMessage as problem:
            self._refuse(problem.rule)
        else:
            self._headers = _headers(headers)

    def data(self, data: bytes) -> None:
        """Some of the body."""
        self._body += data
        if len(self._body) > MAXIMUM_ANSWER:
            self._refuse("the answer is too long")

    def trailers(self, payload: bytes) -> None:
        """Nothing is asked that has trailers."""

    def ended(self) -> None:
        """The answer is complete."""
        if not self.answer.called:
            self.answer.callback(Answer(self._status, self._headers, self._body))

    def upgraded(self) -> None:
        """Nothing is asked that upgrades."""

    def times(self, payload: bytes) -> None:
        """A question's answer says so in its own words."""

    def reset(self, reason: str, detail: str) -> None:
        """There will be none."""
        if not self.answer.called:
            self.answer.errback(QuestionFailed(reason, detail))

    def writable(self, writable: bool) -> None:
        """Nothing is written."""

    def _refuse(self, why: str) -> None:
        if self.stream is not None:
            self.stream.reset("cancelled")
        self.reset("tunnel_lost", f"not an answer of a connector: {why}")

    def _cancelled(self, _answer: Deferred[Answer]) -> None:
        if self.stream is not None:
            self.stream.reset("cancelled")


def _headers(blocks: Blocks) -> dict[bytes, bytes]:
    return {each.name.lower(): each.value for each in fields_of(blocks)}
