"""
What the questions of an edge have in common that take their time.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from appproxy.connector.opening import ExchangeServices
from appproxy.transport.wheel import Timer
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.stream import Stream

_log: Final = Logger(__name__)


class Question:
    """
    One question, until it is answered or the edge waits no longer.

    Handles its stream: a L{appproxy.tunnel.handler.StreamHandler}.

    @ivar event: what the log calls it.
    @ivar stream: L{None} once it is answered, or nobody waits for an answer.
    @ivar timer: its deadline, while there is one.
    """

    event: str

    def __init__(self, services: ExchangeServices, stream: Stream, message: OpenMessage) -> None:
        self.services = services
        self.message = message
        self.seconds = services.trails.seconds
        self.stream: Stream | None = stream
        self.timer: Timer | None = None

    # -- StreamHandler

    def head(self, payload: bytes) -> None:
        """An edge sends no heads."""

    def data(self, data: bytes) -> None:
        """A question has no body."""

    def trailers(self, payload: bytes) -> None:
        """A question has no body."""

    def ended(self) -> None:
        """It ended with its beginning."""

    def upgraded(self) -> None:
        """Only connectors say so."""

    def times(self, payload: bytes) -> None:
        """Only connectors say so."""

    def writable(self, writable: bool) -> None:
        """The answer is short."""

    def reset(self, reason: str, detail: str) -> None:
        """The edge waits no longer."""
        self._take_stream()

    # -- the end

    def answer(self, head: bytes, content: bytes = b"") -> None:
        """
        Say this, and end.

        @param head: packed.
        """
        stream = self._take_stream()
        if stream is not None:
            stream.head(head)
            if content:
                stream.write(content)
            stream.end()

    def refuse(self, reason: str, detail: str) -> None:
        """Say why there is no answer, to the edge and in the log."""
        stream = self._take_stream()
        if stream is not None:
            stream.reset(reason, detail)
            self.log(reason, detail)

    def log(self, outcome: str, detail: str) -> None:
        """One line for each question."""
        _log.info(
            "{event}: {application}: {outcome}: {detail}",
            event=self.event,
            application=self.message.application,
            transaction_id=self.message.transaction_id,
            outcome=outcome,
            detail=detail,
        )

    def let_go(self) -> None:
        """Nobody waits any more: end whatever is under way."""
        raise NotImplementedError

    def _take_stream(self) -> Stream | None:
        stream, self.stream = self.stream, None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.let_go()
        return stream
