"""
One stream from the tunnel to a backend and back.

The exchange is the stream's handler on one side and the backend connection's
listener on the other; body bytes cross it, framing never does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.connector.backend_connection import AnswerListener, BackendConnection
from appproxy.connector.backend_request import BackendRequest
from appproxy.connector.opening import ExchangeServices, Opening
from appproxy.connector.signing import SignOnSteps
from appproxy.httpwire.authentication import WWW_AUTHENTICATE, binds_connection
from appproxy.httpwire.block import Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields
from appproxy.httpwire.heads import NO_BODY, End, ResponseHead
from appproxy.httpwire.rules import filter_trailers
from appproxy.httpwire.wire_heads import pack_trailers, unpack_trailers
from appproxy.sso.errors import SignOnError
from appproxy.transport.wheel import Timer
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.stream import Stream

_log: Final = Logger(__name__)

UPGRADED_CLOSE_SECONDS: Final = 10.0
"""How long the backend of an upgraded connection may take for the client's last bytes."""

_OF_THE_PEER: Final = frozenset({"bug", "stale", "backend_timeout", "backend_protocol"})
"""Failures that no setting of the operator's would mend: an edge or an application that misbehaves."""


class BackendExchange(AnswerListener, StreamHandler):
    """
    Between a stream, whose handler it is, and a backend connection, to which it listens.
    """

    __slots__ = (
        "_closing",
        "_connection",
        "_done",
        "_held",
        "_message",
        "_opening",
        "_raw",
        "_request",
        "_request_ended",
        "_responded",
        "_services",
        "_signing",
        "_stream",
        "_timer",
        "_trail",
        "_trailers",
    )

    def __init__(self, services: ExchangeServices, stream: Stream, message: OpenMessage) -> None:
        self._services = services
        self._stream: Stream | None = stream
        self._message = message
        self._trail = services.trails.begin(message.transaction_id, message.application)
        self._connection: BackendConnection | None = None
        # Let go of at the end: each knows the other.
        self._opening: Opening | None = Opening(services, message, self._trail, self)
        self._signing: SignOnSteps | None = None
        self._timer: Timer | None = None
        self._held: list[bytes] | None = None
        self._trailers: Fields | None = None
        self._raw = self._responded = self._closing = self._done = False
        self._request_ended = message.body == NO_BODY

    def begin(self) -> None:
        """Serve the stream, or say why not."""
        if self._message.body != NO_BODY and self._stream is not None:
            # Until the backend is there, no more of the body than one window is held.
            self._stream.pause()
            if self._message.body >= 0:
                self._stream.expect(self._message.body)
        if self._opening is not None:
            self._opening.begin()

    # -- Opener

    def opened(self, request: BackendRequest, connection: BackendConnection) -> None:
        """Send the request, and what of its body is there."""
        if self._opening is not None:
            self._signing = self._opening.signing
        self._request = request
        self._connection = connection
        self._trail.asked = self._trail.step
        request.begin(connection, self)
        if not self._request_ended and self._stream is not None:
            self._stream.resume()
        connection.write(request.head)
        held = self._held
        if held is not None:
            self._held = None
            for each in held:
                self.data(each)
        if self._done:
            return
        if self._message.body == NO_BODY:
            self._await_answer(connection)
        elif self._request_ended:
            self._end_request(connection)

    def not_opened(self, reason: str, detail: str) -> None:
        """There is no answer to be had."""
        if self._stream is not None:
            _log.warn(
                "{event}: {application}: {reason}: {detail}",
                event="backend_failed",
                application=self._message.application,
                transaction_id=self._message.transaction_id,
                reason=reason,
                detail=detail,
                fault="peer" if reason in _OF_THE_PEER else "operator",
            )
        self._end(reason, detail)

    def bug(self, failure: Failure) -> None:
        """Our own mistake: it costs this stream."""
        _log.failure(
            "{event}: serving {application}",
            failure,
            event="bug",
            application=self._message.application,
            transaction_id=self._message.transaction_id,
            fault="ours",
        )
        self._end("bug", "")

    # -- StreamHandler

    def head(self, payload: bytes) -> None:
        """Only answers have heads; an edge that sends one is broken."""
        self.not_opened("bug", "a head from the opener")

    def data(self, data: bytes) -> None:
        """Some of the request's body, or of an upgraded connection."""
        connection = self._connection
        if self._done or self._closing:
            return
        if connection is None:
            self._hold(data)
        elif self._raw:
            connection.write(data)
        else:
            try:
                connection.write(self._request.body(data))
            except BadMessage as problem:
                self.not_opened("bug", problem.rule)

    def trailers(self, payload: bytes) -> None:
        """The request's trailers."""
        try:
            self._trailers = unpack_trailers(payload)
        except BadMessage as problem:
            self.not_opened("bug", problem.rule)

    def ended(self) -> None:
        """The request is complete, or the client's side of an upgraded connection ended."""
        self._request_ended = True
        connection = self._connection
        if self._done or connection is None:
            return
        if self._raw:
            self._closing = True
            connection.close()
            self._timer = self._services.wheel.add(UPGRADED_CLOSE_SECONDS, self._close_is_late)
        else:
            self._end_request(connection)

    def upgraded(self) -> None:
        """Only the connector's side says so."""

    def times(self, payload: bytes) -> None:
        """Only the connector's side says so."""

    def reset(self, reason: str, detail: str) -> None:
        """The client or the tunnel is gone."""
        self._stream = None
        if not self._closing:
            # What the client of an upgraded connection wrote last still has its time to leave.
            self._done_with(clean=False)

    def writable(self, writable: bool) -> None:
        """Back-pressure of the tunnel on the answer."""
        if self._connection is not None:
            self._connection.pause_answer(not writable)

    # -- AnswerListener

    def answer_head(self, head: ResponseHead) -> None:
        """A head from the backend: translated, then on its way."""
        stream, connection, blocks = self._stream, self._connection, head.blocks
        if stream is None or connection is None:
            return
        signing = self._signing
        if signing is not None and (head.status >= 200 or head.status == 101):
            passed = self._passed(signing, head)
            if passed is None:
                return
            blocks = passed
        try:
            payload = self._request.answer_head(head, blocks)
        except BadMessage as problem:
            self.not_opened("backend_protocol", problem.rule)
            return
        if head.status == 101:
            self._switch(stream, connection, payload)
            return
        if head.status >= 200:
            self._responded = True
            self._note_answer(stream, head.status)
            connection.answer_began()
            if binds_connection(blocks, WWW_AUTHENTICATE):
                self._request.bind(connection)
        stream.head(payload)

    def answer_data(self, data: bytes) -> None:
        """Some of the answer's body."""
        signing = self._signing
        if signing is not None and signing.dropping:
            if signing.drop(data):
                self._sign_on_anew(signing, clean=False)
        elif self._stream is not None:
            self._stream.write(data)

    def answer_end(self, end: End) -> None:
        """The answer is complete."""
        signing, stream = self._signing, self._stream
        if signing is not None and signing.dropping:
            self._sign_on_anew(signing, clean=True)
            return
        if stream is not None:
            kept = filter_trailers(end.trailers) if end.trailers else []
            if kept:
                stream.trailers(pack_trailers(kept))
            stream.end()
            if not self._request_ended:
                # The rest of the request is of no use: docs/tunnel.md, section 5.3.
                stream.reset("cancelled", "the answer came before the request's end")
        self._done_with(clean=self._request_ended)

    def answer_failed(self, rule: str, started: bool) -> None:
        """The backend broke off, or broke the rules."""
        connection, signing, opening = self._connection, self._signing, self._opening
        self._connection = None
        if signing is not None and signing.dropping:
            signing.begin()
            return
        stale = rule == "closed" and not started and connection is not None and connection.used > 1
        if stale and self._request.repeatable and not self._responded and opening is not None:
            opening.again()
        else:
            self.not_opened("backend_protocol", "closed without an answer" if rule == "closed" else rule)

    def answer_late(self) -> None:
        """The backend is silent."""
        self.not_opened("backend_timeout", f"no answer within {self._request.timeout:g} s")

    def request_writable(self, writable: bool) -> None:
        """Back-pressure of the backend on the request's body; it may not last longer than an answer may."""
        stream, connection = self._stream, self._connection
        if stream is None or connection is None:
            return
        if writable:
            stream.resume()
        else:
            stream.pause()
        if not self._request_ended and not self._responded:
            if writable:
                connection.answer_began()
            else:
                self._await_answer(connection)

    # -- inside

    def _passed(self, signing: SignOnSteps, head: ResponseHead) -> Blocks | None:
        """What may pass of an answer's headers; L{None} if nothing of it does."""
        try:
            return signing.answered(head.status, head.blocks)
        except SignOnError as problem:
            if self._opening is not None:
                self._opening.not_signed_on(problem)
            return None

    def _sign_on_anew(self, signing: SignOnSteps, clean: bool) -> None:
        self._give_back(clean)
        signing.begin()

    def _hold(self, data: bytes) -> None:
        if self._held is None:
            self._held = []
        self._held.append(data)

    def _end_request(self, connection: BackendConnection) -> None:
        try:
            last = self._request.body_end(self._trailers or [])
        except BadMessage as problem:
            self.not_opened("bug", problem.rule)
            return
        if last:
            connection.write(last)
        if not self._responded:
            self._trail.asked = self._services.trails.seconds()
            self._await_answer(connection)

    def _switch(self, stream: Stream, connection: BackendConnection, payload: bytes) -> None:
        self._responded = True
        self._note_answer(stream, 101)
        connection.answer_began()
        self._raw = True
        self._request_ended = False
        connection.switch_to_raw()
        stream.head(payload)
        stream.upgraded()

    def _note_answer(self, stream: Stream, status: int) -> None:
        trail = self._trail
        trail.status = status
        trail.answered = now = self._services.trails.seconds()
        stream.times(trail.times(now))

    def _await_answer(self, connection: BackendConnection) -> None:
        connection.await_answer(self._services.wheel, self._request.timeout)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_is_late(self) -> None:
        self._timer = None
        if self._stream is not None:
            self._never_hanging(self._stream.end)
        self._done_with(clean=False)

    def _never_hanging(self, call: Callable[[], None]) -> None:
        """For what timers and the catalog call: a bug in it ends the stream, which would wait for ever."""
        try:
            call()
        except Exception:
            self.bug(Failure())

    def _end(self, reason: str, detail: str) -> None:
        self._services.trails.failed(self._trail, reason, detail)
        stream, self._stream = self._stream, None
        if stream is not None:
            if not self._responded:
                stream.times(self._trail.times(self._services.trails.seconds()))
            stream.reset(reason, detail)
        self._done_with(clean=False)

    def _done_with(self, clean: bool) -> None:
        if self._done:
            return
        self._done = True
        self._trail.ended = self._services.trails.seconds()
        self._stream = None
        self._held = None
        self._cancel_timer()
        opening, self._opening = self._opening, None
        self._signing = None
        if opening is not None:
            opening.cancel()
        self._give_back(clean)

    def _give_back(self, clean: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            reusable = connection.finish()
            self._request.give_back(connection, clean and reusable)
