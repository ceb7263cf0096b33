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
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers as WebHeaders
from twisted.web.server import Site

from appproxy.edge.client_writer import ClientWriter
from appproxy.edge.exchange import ClientConnection
from appproxy.edge.verdict import Forward, Local
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, Headers, RequestHead
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction
from appproxy.pages.request import PageRequest

MAXIMUM_FORM_BYTES: Final = 64 * 1024
"""Our own forms carry a few fields; anything longer is no form of ours."""

FRAMED_BELOW: Final = b"HTTP/2"
"""What twisted.web takes as "write plain bytes, the layer below frames them"."""


class EdgeRequest(PageRequest):
    """
    A page's request that also carries the gate's verdict to a published application.

    @ivar forward: set where the request goes to an application.
    @ivar sink: who takes the body as it arrives; without one it is collected.
    """

    forward: Forward | None = None
    stream: PageStream


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
    ) -> None:
        self.writer = writer
        self._finished = finished
        self.site = site
        self.factory = site
        self.client_connection = client
        self.request_head = head
        self.transaction = transaction
        self.transport = transport
        self.body_sink: Any = None
        self._producer: IPushProducer | None = None
        self._collected = 0
        self._over = False
        self._request = self._make_request(verdict)

    def start(self) -> PageStream:
        """Dispatch: at once for an application, after the body for a page."""
        if self._request.forward is not None or self.request_head.body == NO_BODY:
            self._dispatch()
        return self

    # -- RequestSink

    def client_data(self, data: bytes) -> None:
        """Some of the body: streamed on to an application, collected for a page."""
        if self.body_sink is not None:
            self.body_sink.client_data(data)
            return
        self._collected += len(data)
        if self._over:
            return
        if self._collected > MAXIMUM_FORM_BYTES:
            self._over = True
            refusal = Refusal(Error.BadRequest, "form_too_large")
            self.transaction.refused(refusal)
            self._finished(self.transaction)
            self.writer.refuse(refusal)
            return
        self._request.handleContentChunk(data)  # type: ignore[no-untyped-call]

    def client_end(self, trailers: Headers) -> None:
        """The request's body is complete."""
        if self.body_sink is not None:
            self.body_sink.client_end(trailers)
        elif not self._over and self.request_head.body != NO_BODY:
            self._dispatch()

    def client_gone(self) -> None:
        """The client's connection is closed."""
        if self.body_sink is not None:
            self.body_sink.client_gone()
        if not self._over:
            self._over = True
            self._finished(self.transaction)
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
        pairs: Headers = (
            list(headers.getAllRawHeaders())
            if hasattr(headers, "getAllRawHeaders")
            else [(name, value) for name, value in headers]
        )
        flat: Headers = []
        length: int | None = None
        for name, value in pairs:
            for each in value if isinstance(value, list) else [value]:
                lowered = name.lower()
                if lowered == b"content-length":
                    length = int(each)
                elif lowered not in (b"transfer-encoding", b"connection"):
                    flat.append((name, each))
        status = int(code)
        body = UNTIL_END if length is None else length
        if self.request_head.method == b"HEAD" or status in (204, 304):
            if length is not None:
                flat.append((b"Content-Length", b"%d" % length))
            body = NO_BODY
        self.transaction.status = status
        self.writer.head(status, body, flat)

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
            self._over = True
            self._finished(self.transaction)
            self.writer.end([])

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """A page that produces its body piece by piece."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """The page has produced all."""
        self._producer = None

    def loseConnection(self) -> None:
        """twisted.web gives up on this request."""
        if not self._over:
            self._over = True
            self._finished(self.transaction)
        self.writer.abort()

    abortConnection = loseConnection

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

    def took_over(self) -> None:
        """An exchange answers from now on, and it closes the transaction too."""
        self._over = True

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
        if self.request_head.body != NO_BODY:
            length = self.request_head.body
            known = length if 0 <= length <= MAXIMUM_FORM_BYTES else None
            request.gotLength(known)  # type: ignore[no-untyped-call]
        else:
            request.gotLength(0)  # type: ignore[no-untyped-call]
        return request

    def _dispatch(self) -> None:
        self._request.parseCookies()  # type: ignore[no-untyped-call]
        self._request.requestReceived(  # type: ignore[no-untyped-call]
            self.request_head.method, self.request_head.target, FRAMED_BELOW
        )
