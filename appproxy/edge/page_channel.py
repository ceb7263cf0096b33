"""
From parsed values to C{twisted.web}: pages of ours, and published applications
as resources, without parsing a byte twice.

L{PageStream} plays the channel of one L{PageRequest}, as Twisted's own HTTP/2
stream does: the request is told that framing happens below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers as WebHeaders
from twisted.web.server import Site

from appproxy.edge.client_connection import ClientConnection
from appproxy.edge.client_writer import ClientWriter, RequestSink
from appproxy.edge.verdict import Forward, Local
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import Fields, Pair, fields
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, RequestHead
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction
from appproxy.pages.request import PageRequest
from appproxy.transport.wheel import Timer, TimerWheel

MAXIMUM_FORM_BYTES: Final = 64 * 1024
"""Our own forms carry a few fields; anything longer is no form of ours."""

FORM_SECONDS: Final = 30.0
"""From a form's head to its last byte: longer than any line needs for so little."""

FRAMED_BELOW: Final = b"HTTP/2"
"""What twisted.web takes as "write plain bytes, the layer below frames them"."""

_SAID_BELOW: Final = frozenset({b"transfer-encoding", b"connection", b"server"})
"""Framing is the channel's; which server this is, is nobody's business."""

_BUG: Final = Refusal(Error.InternalServerError, "bug", "ours")
_BAD_FORM: Final = Refusal(Error.BadRequest, "form")
_FORM_TOO_LARGE: Final = Refusal(Error.BadRequest, "form_too_large")
_FORM_TOO_SLOW: Final = Refusal(Error.RequestTimeout, "body_too_slow")

_log = Logger()


class EdgeRequest(PageRequest):
    """
    A page's request that also carries the gate's verdict to a published application.

    @ivar forward: set where the request goes to an application.
    """

    forward: Forward | None = None
    stream: PageStream

    def processingFailed(self, reason: Failure) -> Failure:
        """A resource raised: a page that says so, and the traceback in the log."""
        self.stream.failed(reason)
        return reason


class PageStream:
    """
    One request in the tree of pages; a C{RequestSink} for the front end and the
    channel for the L{EdgeRequest}.
    """

    def __init__(
        self,
        writer: ClientWriter,
        site: Site,
        client: ClientConnection,
        head: RequestHead,
        transaction: Transaction,
        verdict: Local | Forward,
        transport: Any,
        finished: Callable[[Transaction], None],
        wheel: TimerWheel,
        strict_transport: bytes = b"",
    ) -> None:
        """
        @param strict_transport: of every page here; empty for none.
        """
        self.writer = writer
        self._finished = finished
        self.site = site
        self.factory = site
        self.client_connection = client
        self.request_head = head
        self.transaction = transaction
        self.transport = transport
        self.body_sink: RequestSink | None = None
        self._producer: IPushProducer | None = None
        self._collected = 0
        self._over = self._begun = False
        self._wheel = wheel
        self._strict_transport = strict_transport
        self._timer: Timer | None = None
        self._request = self._make_request(verdict)

    def start(self) -> None:
        """Dispatch: at once for an application, after the body for a page."""
        if self._request.forward is not None:
            self._forward()
        elif self.request_head.body > MAXIMUM_FORM_BYTES:
            self._refuse(_FORM_TOO_LARGE)
        elif self.request_head.body == NO_BODY:
            self._dispatch()
        else:
            self._timer = self._wheel.add(FORM_SECONDS, lambda: self._refuse(_FORM_TOO_SLOW))

    # -- RequestSink

    def client_data(self, data: bytes) -> None:
        """Some of the body: streamed on to an application, collected for a page."""
        if self.body_sink is not None:
            self.body_sink.client_data(data)
            return
        if self._over:
            return
        self.transaction.bytes_in += len(data)
        self._collected += len(data)
        if self._collected > MAXIMUM_FORM_BYTES:
            self._refuse(_FORM_TOO_LARGE)
        else:
            self._request.handleContentChunk(data)  # type: ignore[no-untyped-call]

    def client_end(self, trailers: Fields) -> None:
        """The request's body is complete."""
        if self.body_sink is not None:
            self.body_sink.client_end(trailers)
        elif not self._over and self.request_head.body != NO_BODY:
            self._dispatch()

    def client_gone(self) -> None:
        """The client's connection is closed."""
        if self.body_sink is not None:
            self.body_sink.client_gone()
        elif not self._over:
            self.transaction.reason = self.transaction.reason or "client_gone"
            self._finish()
            self._request.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]

    def pause(self) -> None:
        """The client reads slowly."""
        if self.body_sink is not None:
            self.body_sink.pause()
        elif self._producer is not None:
            self._producer.pauseProducing()

    def resume(self) -> None:
        """The client has caught up."""
        if self.body_sink is not None:
            self.body_sink.resume()
        elif self._producer is not None:
            self._producer.resumeProducing()

    # -- the channel of twisted.web.http.Request

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """Called by the request before its first body byte."""
        pairs: list[Any] = (
            list(headers.getAllRawHeaders())
            if hasattr(headers, "getAllRawHeaders")
            else [(name, value) for name, value in headers]
        )
        flat: list[Pair] = []
        length: int | None = None
        for name, value in pairs:
            for each in value if isinstance(value, list) else [value]:
                lowered = name.lower()
                if lowered == b"content-length":
                    length = int(each)
                elif lowered not in _SAID_BELOW:
                    flat.append((name, each))
        if self._strict_transport:
            flat.append((b"Strict-Transport-Security", self._strict_transport))
        status = int(code)
        body = UNTIL_END if length is None else length
        if self.request_head.method == b"HEAD" or status in (204, 304):
            if length is not None:
                flat.append((b"Content-Length", b"%d" % length))
            body = NO_BODY
        self.transaction.status = status
        self._begun = True
        self.writer.head(status, body, blocks_of(fields(flat)))

    def write(self, data: bytes) -> None:
        """Plain body bytes."""
        if data:
            self.transaction.bytes_out += len(data)
            self.writer.data(data)

    def writeSequence(self, data: Any) -> None:
        """Plain body bytes in pieces."""
        self.write(b"".join(data))

    def requestDone(self, request: EdgeRequest) -> None:
        """The page is complete."""
        if not self._over:
            if request.refusal is not None:
                self.transaction.error = request.refusal.error.name
                self.transaction.reason = request.refusal.reason
            self._finish()
            self.writer.end([])

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """
        A page that produces its body piece by piece.

        @raise TypeError: for a pull producer; no page of ours is one.
        """
        if not streaming:
            raise TypeError("pages produce at the client's pace, or at once")
        self._producer = producer

    def unregisterProducer(self) -> None:
        """The page has produced all."""
        self._producer = None

    def loseConnection(self) -> None:
        """twisted.web gives up on this request."""
        if not self._over:
            self._finish()
            self.writer.break_off()

    abortConnection = loseConnection

    def _respondToBadRequestAndDisconnect(self) -> None:
        """twisted.web cannot read the form."""
        self._refuse(_BAD_FORM)

    def getPeer(self) -> IAddress:
        """The client's address."""
        address: IAddress = self.transport.getPeer()
        return address

    def getHost(self) -> IAddress:
        """Our own address."""
        address: IAddress = self.transport.getHost()
        return address

    def isSecure(self) -> bool:
        """Whether the client came over TLS."""
        return self.client_connection.facts.scheme == b"https"

    # -- for PublishedApplication

    def hand_over(self, sink: RequestSink) -> None:
        """Whoever answers from now on; it closes the transaction too."""
        self._over = True
        self.body_sink = sink

    # -- inside

    def failed(self, reason: Failure) -> None:
        """A resource raised."""
        _log.failure(
            "{event}: a page could not be made",
            reason,
            event="bug",
            fault="ours",
            transaction_id=self.transaction.id,
        )
        if self.body_sink is not None:
            self.body_sink.client_gone()
            self.writer.refuse(_BUG)
        elif self._begun:
            self.loseConnection()
        else:
            self._refuse(_BUG)

    def _refuse(self, refusal: Refusal) -> None:
        if not self._over:
            self.transaction.refused(refusal)
            self._finish()
            self.writer.refuse(refusal)

    def _finish(self) -> None:
        self._over = True
        self._cancel_timer()
        self._finished(self.transaction)

    def _make_request(self, verdict: Local | Forward) -> EdgeRequest:
        facts = self.client_connection.facts
        request = EdgeRequest(self)  # type: ignore[no-untyped-call]
        request.stream = self
        request.forward = verdict if isinstance(verdict, Forward) else None
        request.principal = verdict.principal
        request.transaction_id = self.transaction.id
        request.client_address = facts.client_address
        request.host_name = self.request_head.host
        request.scheme_port = f"{facts.scheme.decode()}:{facts.port}"
        headers = WebHeaders()
        for name, value in self.request_head.headers:
            headers.addRawHeader(name, value)
        request.requestHeaders = headers
        # Forms are small and bodies for applications are not kept: in memory, never in a file.
        request.gotLength(0)  # type: ignore[no-untyped-call]
        return request

    def _forward(self) -> None:
        """To an application: without the reading of forms that comes with a page."""
        request, head = self._request, self.request_head
        request.method, request.uri, request.clientproto = head.method, head.target, FRAMED_BELOW
        request.path, request.args = head.target.partition(b"?")[0], {}
        request.process()  # type: ignore[no-untyped-call]

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _dispatch(self) -> None:
        self._cancel_timer()
        self._request.parseCookies()  # type: ignore[no-untyped-call]
        self._request.requestReceived(  # type: ignore[no-untyped-call]
            self.request_head.method, self.request_head.target, FRAMED_BELOW
        )
