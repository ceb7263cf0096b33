"""
Questions of an edge to this connector: section 14 of C{docs/tunnel.md}.
"""

from __future__ import annotations

import json
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.connector.backend_connection import AnswerListener, BackendConnection
from appproxy.connector.backend_request import allowed
from appproxy.connector.dial import BackendError
from appproxy.connector.explaining import Explanation
from appproxy.connector.opening import ExchangeServices
from appproxy.connector.pool import SHARED
from appproxy.connector.question import Question
from appproxy.connector.request_head import request_head
from appproxy.connector.served import Served
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY, End, ResponseHead
from appproxy.httpwire.wire_heads import pack_response, unpack_request
from appproxy.tunnel.handler import DEAF
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.stream import Stream

_log: Final = Logger(__name__)

LONGEST_PROBE_SECONDS: Final = 30.0
"""However long an edge would wait: a probe holds a connection to the application."""


def answer_question(services: ExchangeServices, stream: Stream, message: OpenMessage) -> None:
    """Answer a stream that is a question."""
    stream.handler = DEAF
    try:
        method, target, headers = unpack_request(message.head)
    except BadMessage as problem:
        stream.reset("bug", problem.rule)
        return
    if method == b"PROBE":
        Probe(services, stream, message).begin()
    elif method == b"EXPLAIN":
        Explanation(services, stream, message).begin(headers)
    elif method == b"TRACE":
        _tell_trail(services, stream, target[1:].decode("ascii"))
    else:
        stream.reset("bug", "a question that this connector does not know")


def _tell_trail(services: ExchangeServices, stream: Stream, transaction_id: str) -> None:
    trail = services.trails.find(transaction_id)
    if trail is None:
        stream.head(pack_response(404, NO_BODY, []))
    else:
        content = json.dumps(trail.as_dict()).encode()
        stream.head(pack_response(200, len(content), []))
        stream.write(content)
    stream.end()


class Probe(AnswerListener, Question):
    """
    Asks an application's server for its first page's head, as nobody, on a connection of its own.
    """

    event = "probe"

    def __init__(self, services: ExchangeServices, stream: Stream, message: OpenMessage) -> None:
        Question.__init__(self, services, stream, message)
        self._began = self._connected_at = self._answered_at = self.seconds()
        self._served: Served | None = None
        self._connection: BackendConnection | None = None
        self._dialling: Deferred[BackendConnection] | None = None
        self._status = 0

    def begin(self) -> None:
        """Dial, or say why not."""
        message, catalog = self.message, self.services.catalog
        if catalog.revision < message.revision:
            self.refuse("stale", f"catalog revision {message.revision} is not here yet")
            return
        try:
            served = self._served = allowed(catalog, message.application)
        except BackendError as problem:
            self.refuse(problem.reason, problem.detail)
            return
        assert self.stream is not None
        self.stream.handler = self
        self._patience = min(message.deadline_ms / 1000 or LONGEST_PROBE_SECONDS, LONGEST_PROBE_SECONDS)
        self.timer = self.services.wheel.add(self._patience, self._late)
        self._dialling = served.pool.connect()
        self._dialling.addCallbacks(self._connected, self._not_connected).addErrback(self.bug)

    # -- the connection

    def _connected(self, connection: BackendConnection) -> None:
        self._dialling = None
        served, message = self._served, self.message
        assert served is not None
        if self.stream is None:
            served.pool.release(connection, SHARED, clean=False)
            return
        self._connected_at = self.seconds()
        self._connection = connection
        visitor = [field(b"User-Agent", b"appproxy-probe"), field(b"Accept", b"*/*")]
        path = served.backend.external_url.path.encode()
        _, head = request_head(
            served, b"HEAD", path, blocks_of(visitor), [], NO_BODY, False, message.transaction_id
        )
        connection.begin(self, b"HEAD", None)
        connection.write(head)

    def _not_connected(self, failure: Failure) -> None:
        self._dialling = None
        if self.stream is None and failure.check(CancelledError):
            return
        problem = failure.trap(BackendError) and failure.value
        assert isinstance(problem, BackendError)
        self.refuse(problem.reason, problem.detail)

    def _late(self) -> None:
        self.timer = None
        within = f"within {self._patience:g} s"
        if self._connection is None:
            self.refuse("backend_refused", f"no connection {within}")
        else:
            self.refuse("backend_timeout", f"connected, but no answer {within}")

    # -- AnswerListener

    def answer_head(self, head: ResponseHead) -> None:
        """What is asked for; interim answers say nothing."""
        if head.status >= 200:
            self._status = head.status
            self._answered_at = self.seconds()

    def answer_end(self, end: End) -> None:
        """The application answers."""
        times = [
            (b"AppProxy-Connect-Ms", self._connected_at - self._began),
            (b"AppProxy-Answer-Ms", self._answered_at - self._connected_at),
        ]
        told = blocks_of([field(name, b"%.1f" % (seconds * 1000)) for name, seconds in times])
        self.answer(pack_response(self._status, NO_BODY, told))
        self.log("answered", str(self._status))

    def answer_failed(self, rule: str, started: bool) -> None:
        """It breaks off, or breaks the rules."""
        self.refuse("backend_protocol", "closed without an answer" if rule == "closed" else rule)

    # -- the end

    def bug(self, failure: Failure) -> None:
        """Our own mistake: it costs this probe."""
        _log.failure("{event}: a probe", failure, event="bug", fault="ours")
        self.refuse("bug", "")

    def let_go(self) -> None:
        """Close what is open."""
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
        connection, self._connection = self._connection, None
        if connection is not None and self._served is not None:
            connection.finish()
            self._served.pool.release(connection, SHARED, clean=False)
