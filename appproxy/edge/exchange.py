"""
One request on its way to an application and its answer on the way back.

The exchange knows neither front end nor connector: it writes to a
L{ClientWriter} and to a L{Stream}. It trusts neither side's bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from appproxy.edge.attempts import Attempts
from appproxy.edge.client_connection import ClientConnection
from appproxy.edge.client_writer import ClientWriter, RequestSink
from appproxy.edge.live import LiveStreams
from appproxy.edge.upload_watch import UploadWatch
from appproxy.edge.verdict import Forward
from appproxy.httpwire.authentication import WWW_AUTHENTICATE, binds_connection
from appproxy.httpwire.block import Block, Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields, field
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, RequestHead
from appproxy.httpwire.response_parser import INTERIM_LIMIT
from appproxy.httpwire.rules import filter_trailers, rebuild_response
from appproxy.httpwire.wire_heads import pack_trailers, unpack_response, unpack_trailers
from appproxy.model.refusal import Error, Refusal, refusal_of_reason
from appproxy.observe.transaction import Transaction
from appproxy.relay.opener import NoConnector, StreamOpener
from appproxy.transport.wheel import Timer, TimerWheel
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.stream import Stream
from appproxy.tunnel.times import TIMES_SIZE, named_in, seconds_at

CONNECTOR_GRACE_SECONDS: Final = 5.0
"""The connector times the backend itself and says so; past this it is the connector that is silent."""

CONTINUE_AFTER_SECONDS: Final = 1.0
"""Clients wait for 100 Continue for about a second before they send anyway; so do we."""

_is_rule: Final = re.compile(r"[a-z0-9_ ]{1,60}").fullmatch


def _refusal(reason: str, detail: str) -> Refusal:
    """
    What the client is told of a reset. A connector's details name servers and settings of the
    inside, and are in its own log; a visitor learns at most the rule that an answer breaks.
    """
    if reason == "backend_protocol" and _is_rule(detail):
        return refusal_of_reason(reason, f"The application's answer was not valid ({detail}).")
    return refusal_of_reason(reason)


class ExchangeServices:
    """What all exchanges of one edge share."""

    __slots__ = ("finished", "live", "opener", "seconds", "wheel")

    def __init__(
        self,
        opener: StreamOpener,
        live: LiveStreams,
        wheel: TimerWheel,
        seconds: Callable[[], float],
        finished: Callable[[Transaction], None],
    ) -> None:
        self.opener = opener
        self.live = live
        self.wheel = wheel
        self.seconds = seconds
        self.finished = finished


class Exchange(StreamHandler, RequestSink):
    """
    One request and its answer; a L{appproxy.tunnel.handler.StreamHandler}.

    Front ends call L{begin}, then L{client_data}, L{client_end}, L{client_gone},
    L{pause} and L{resume}; the tunnel calls the handler's methods.
    """

    __slots__ = (
        "_attempts",
        "_client",
        "_continued",
        "_done",
        "_forward",
        "_head",
        "_interims",
        "_remaining",
        "_request_ended",
        "_responded",
        "_services",
        "_session_id",
        "_stream",
        "_switching",
        "_timer",
        "_trailers",
        "_transaction",
        "_upgraded",
        "_upload",
        "_writer",
    )

    def __init__(
        self,
        services: ExchangeServices,
        writer: ClientWriter,
        client: ClientConnection,
        transaction: Transaction,
    ) -> None:
        self._services = services
        self._writer = writer
        self._client = client
        self._transaction = transaction
        self._stream: Stream | None = None
        self._interims = 0
        self._remaining = UNTIL_END
        self._upload: UploadWatch | None = None
        self._responded = self._done = self._upgraded = False
        self._continued = self._request_ended = False
        self._switching: Blocks | None = None
        self._timer: Timer | None = None
        self._trailers: Fields = []
        self._session_id = ""

    # -- from the front end

    def begin(self, head: RequestHead, forward: Forward) -> None:
        """Open the stream. Nothing is awaited between the gate's verdict and the live index."""
        view, principal = forward.view, forward.principal
        self._head = head
        self._forward = forward
        self._session_id = principal.session_id if principal is not None else ""
        self._services.live.add(self, self._session_id, view.id)
        self._request_ended = head.body == NO_BODY
        try:
            self._attempts = Attempts(self._client, self._transaction, head, forward)
        except BadMessage as problem:
            self._refuse(Refusal(Error.BadRequest, problem.rule))
            return
        self._attempt(None)
        if self._done:
            return
        if head.body == NO_BODY:
            self._await_answer()
        else:
            self._watch_body(head)

    def client_data(self, data: bytes) -> None:
        """Some of the request's body, or of an upgraded connection."""
        self._transaction.bytes_in += len(data)
        if self._stream is not None:
            self._stream.write(data)

    def client_end(self, trailers: Fields) -> None:
        """The request is complete."""
        if self._request_ended:
            return
        self._request_ended = True
        self._cancel_timers()
        stream = self._stream
        if stream is None:
            return
        kept = self._forward.view.rules.filter_trailers(trailers) if trailers else []
        if kept:
            stream.trailers(pack_trailers(kept))
        stream.end()
        if not self._responded:
            self._await_answer()

    def client_gone(self) -> None:
        """The client's connection is closed: nobody waits for the answer."""
        if self._done:
            return
        if self._upgraded and self._stream is not None:
            self._stream.end()
        self._reset_stream("cancelled")
        if not self._transaction.reason and not self._upgraded:
            self._transaction.reason = "client_gone"
        self._finish()

    def pause(self) -> None:
        """The client reads slower than the answer comes."""
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        """The client has read what there was."""
        if self._stream is not None:
            self._stream.resume()

    @property
    def is_upgraded(self) -> bool:
        """Whether both directions are plain bytes."""
        return self._upgraded

    def cut(self, why: Refusal) -> None:
        """The session or the application ended: break off now."""
        if self._done:
            return
        if not self._responded:
            self._give_up(why)
            return
        self._reset_stream("cancelled")
        self._transaction.reason = why.reason
        self._writer.abort()
        self._finish()

    # -- from the tunnel

    def head(self, payload: bytes) -> None:
        """The answer's head, or an interim one."""
        if self._done:
            return
        try:
            status, body, headers = unpack_response(payload)
            if self._responded or self._switching is not None:
                raise BadMessage(502, "second_head")
            if status < 200:
                self._interim(status, headers)
                return
            # Our own reckoning of what has a body: the client's next answer depends on it.
            if (body == NO_BODY) != (status in (204, 304) or self._head.method == b"HEAD"):
                raise BadMessage(502, "body_length")
            keep_length = body == NO_BODY and status != 204
            headers = rebuild_response(headers, keep_length, self._head.host)
        except BadMessage as problem:
            self._peer_broke(problem.rule)
            return
        self._answer_begins(status)
        if binds_connection(headers, WWW_AUTHENTICATE):
            self._attempts.bind()
        self._remaining = 0 if body == NO_BODY else body
        if body >= 0 and self._stream is not None:
            self._stream.expect(body)
        self._writer.head(status, body, headers)

    def data(self, data: bytes) -> None:
        """Some of the answer's body: counted against its length."""
        if self._done:
            return
        if not self._responded:
            self._peer_broke("body_before_head")
            return
        size = len(data)
        self._transaction.bytes_out += size
        if self._remaining >= 0:
            self._remaining -= size
            if self._remaining < 0:
                self._peer_broke("body_too_long")
                return
        self._writer.data(data)

    def trailers(self, payload: bytes) -> None:
        """The answer's trailers, filtered like headers."""
        try:
            self._trailers = filter_trailers(unpack_trailers(payload))
        except BadMessage as problem:
            self._peer_broke(problem.rule)

    def ended(self) -> None:
        """The answer is complete, or should be."""
        if self._done:
            return
        if self._upgraded:
            self._writer.close()
            if self._stream is not None:
                self._stream.end()
        elif not self._responded or self._remaining > 0:
            self._peer_broke("body_too_short" if self._responded else "no_head")
            return
        else:
            self._writer.end(self._trailers)
        if not self._request_ended and self._stream is not None:
            self._stream.reset("cancelled")
        self._finish()

    def times(self, payload: bytes) -> None:
        """How long the answer took there, which comes just before its head, or before a reset."""
        transaction = self._transaction
        if len(payload) > TIMES_SIZE:
            self._attempts.behind_relay(named_in(payload))
        transaction.connector_time = seconds_at(payload, 0)
        transaction.backend_time = seconds_at(payload, 4)
        transaction.sso_time = seconds_at(payload, 8)
        if transaction.sso_time >= 0:
            transaction.sso_mode = self._forward.view.application.sso.mode

    def upgraded(self) -> None:
        """Both directions are plain bytes now; before this the stream takes none."""
        headers = self._switching
        if self._done:
            return
        if headers is None:
            self._peer_broke("upgrade_without_head")
            return
        self._answer_begins(101)
        self._upgraded = True
        self._writer.switch(headers)

    def reset(self, reason: str, detail: str) -> None:
        """The connector gave up, or the tunnel is gone."""
        if self._done:
            return
        self._stream = None
        self._transaction.attempt_failed(self._services.seconds(), reason, detail)
        if self._responded:
            self._transaction.reason = reason
            self._writer.break_off()
            self._finish()
        elif self._attempts.once_more(reason):
            self._switching = None
            self._attempt(_refusal(reason, detail))
        else:
            self._refuse(_refusal(reason, detail))

    def writable(self, writable: bool) -> None:
        """Back-pressure of the tunnel on the request's body."""
        if self._upload is not None:
            self._upload.writable(writable)
        if writable:
            self._writer.resume_request()
        else:
            self._writer.pause_request()

    # -- inside

    def _attempt(self, earlier: Refusal | None) -> None:
        try:
            self._stream = self._attempts.open(self._services.opener, self)
        except NoConnector:
            self._refuse(earlier or Refusal(Error.GatewayTimeout, "no_connector", "operator"))
            return
        if earlier is not None:
            self._transaction.forget_times()

    def _interim(self, status: int, headers: Blocks) -> None:
        self._interims += 1
        if self._interims > INTERIM_LIMIT:
            raise BadMessage(502, "too_many_interim")
        upgrade = self._head.upgrade
        if status == 101:
            if upgrade is None:
                raise BadMessage(502, "upgrade_not_asked_for")
            headers = rebuild_response(headers, host=self._head.host)
            switched = Block([field(b"Connection", b"Upgrade"), field(b"Upgrade", upgrade)])
            self._switching = [*headers, switched]
        elif status == 100:
            if self._head.expects_continue and not self._continued:
                self._continued = True
                self._writer.interim(100, [])
        else:
            self._writer.interim(status, rebuild_response(headers, host=self._head.host))

    def _answer_begins(self, status: int) -> None:
        self._responded = True
        self._transaction.status = status
        self._transaction.first_byte = self._services.seconds() - self._transaction.started
        self._cancel_timers()

    def _await_answer(self) -> None:
        wait = self._forward.view.backend_timeout_seconds + CONNECTOR_GRACE_SECONDS
        self._timer = self._services.wheel.add(wait, self._connector_is_silent)

    def _connector_is_silent(self) -> None:
        self._timer = None
        self._give_up(Refusal(Error.GatewayTimeout, "connector_timeout", "operator"))

    def _watch_body(self, head: RequestHead) -> None:
        services, patience = self._services, self._forward.view.backend_timeout_seconds
        if head.expects_continue:
            self._timer = services.wheel.add(CONTINUE_AFTER_SECONDS, self._continue_anyway)
        self._upload = UploadWatch(services.wheel, self._transaction, patience, self._give_up)

    def _continue_anyway(self) -> None:
        self._timer = None
        if not self._continued and not self._responded and not self._done:
            self._continued = True
            self._writer.interim(100, [])

    def _give_up(self, refusal: Refusal) -> None:
        self._reset_stream("cancelled")
        self._refuse(refusal)

    def _peer_broke(self, rule: str) -> None:
        """The connector sent what no connector of ours sends, or passed on what a backend may not say."""
        self._reset_stream("backend_protocol", rule)
        self._transaction.attempt_failed(self._services.seconds(), "backend_protocol", rule)
        if self._responded:
            self._transaction.reason = "backend_protocol"
            self._writer.break_off()
            self._finish()
        else:
            self._refuse(_refusal("backend_protocol", rule))

    def _reset_stream(self, reason: str, detail: str = "") -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(reason, detail)

    def _refuse(self, refusal: Refusal) -> None:
        self._transaction.refused(refusal)
        self._writer.refuse(refusal)
        self._finish()

    def _cancel_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._upload is not None:
            self._upload.stop()
            self._upload = None

    def _finish(self) -> None:
        self._done = True
        self._stream = None
        if self._timer is not None or self._upload is not None:
            self._cancel_timers()
        self._services.live.remove(self, self._session_id, self._forward.view.id)
        self._services.finished(self._transaction)
