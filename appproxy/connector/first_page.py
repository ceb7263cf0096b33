"""
Calls an application's first page as a user, for an administrator who wants to know what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.connector.backend_connection import AnswerListener, BackendConnection
from appproxy.connector.backend_request import Admitted, BackendRequest
from appproxy.connector.dial import BackendError
from appproxy.connector.first_page_verdict import failed, verdict
from appproxy.connector.served import Served
from appproxy.connector.signing import SignOnSteps
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY, End, ResponseHead
from appproxy.httpwire.wire_heads import pack_request
from appproxy.model.advice import advice
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.sign_on import Step
from appproxy.tunnel.messages import ANONYMOUS, NO_DIGEST, OpenMessage

_log: Final = Logger(__name__)

_VISITOR: Final = [field(b"User-Agent", b"appproxy-explain"), field(b"Accept", b"*/*")]

_NO_HEAD: Final = frozenset({405, 501})
"""What servers say that do not know HEAD."""


class FirstPage(AnswerListener):
    """
    One call, by HEAD, or by GET where that is not known, on a connection that serves nothing else.

    @ivar told: gets what came of it, once.
    """

    def __init__(
        self,
        served: Served,
        principal: Principal,
        question: OpenMessage,
        seconds: Callable[[], float],
        told: Callable[[Step], None],
    ) -> None:
        """
        @param question: says under which transaction the application and its log know the call.
        """
        self._served = served
        self._principal = principal
        self._question = question
        self._seconds = seconds
        self._told: Callable[[Step], None] | None = told
        self._began = seconds()
        self._method = b"HEAD"
        self._admitted: Admitted | None = None
        self._signing: SignOnSteps | None = None
        self._request: BackendRequest | None = None
        self._dialling: Deferred[BackendConnection] | None = None
        self._connection: BackendConnection | None = None

    def begin(self) -> None:
        """Sign on, then ask."""
        self._ask(b"HEAD")

    def give_up(self, within: str) -> None:
        """It takes too long."""
        self._fail("backend_timeout", f"no answer {within}")

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._told = None
        self._let_go()

    def _ask(self, method: bytes) -> None:
        self._method = method
        question = self._question
        path = self._served.backend.external_url.path.encode()
        message = OpenMessage(
            question.deadline_ms,
            question.transaction_id,
            question.application,
            question.revision,
            ANONYMOUS,
            NO_DIGEST,
            NO_BODY,
            False,
            pack_request(method, path, blocks_of(_VISITOR)),
        )
        try:
            admitted = self._admitted = Admitted(self._served, self._principal, message)
        except BackendError as problem:
            self._fail(problem.reason, problem.detail)
            return
        if admitted.attempt is None:
            self._signing = None
            self.signed_on()
        else:
            self._signing = SignOnSteps(admitted.attempt, self)
            self._signing.begin()

    # -- Signer

    def sign_on_begins(self) -> None:
        """Its steps have their own times."""

    def signed_on(self) -> None:
        """The request can be sent: where the application asked for a sign-on, on the same connection."""
        admitted = self._admitted
        if self._told is None or admitted is None:
            return
        try:
            request = self._request = admitted.request()
        except BackendError as problem:
            self._fail(problem.reason, problem.detail)
            return
        connection = self._connection
        if connection is not None and connection.open:
            self._send(request, connection)
            return
        self._connection = None
        self._dialling = request.connect()
        self._dialling.addCallbacks(self._connected, self._not_connected).addErrback(self.bug)

    def not_signed_on(self, problem: SignOnError) -> None:
        """This user cannot be signed on to this application."""
        words = self._served.sign_on.advise(problem) or advice(problem.reason)
        self._tell(failed(problem.cause or problem.reason, str(problem), self._milliseconds, words))

    # -- the connection

    def _connected(self, connection: BackendConnection) -> None:
        self._dialling = None
        self._connection = connection
        if self._told is None or self._request is None:
            self._let_go()
        else:
            self._send(self._request, connection)

    def _not_connected(self, failure: Failure) -> None:
        self._dialling = None
        if self._told is None and failure.check(CancelledError):
            return
        problem = failure.trap(BackendError) and failure.value
        assert isinstance(problem, BackendError)
        self._fail(problem.reason, problem.detail)

    def _send(self, request: BackendRequest, connection: BackendConnection) -> None:
        request.begin(connection, self)
        connection.write(request.head)

    # -- AnswerListener

    def answer_head(self, head: ResponseHead) -> None:
        """What was waited for; interim answers say nothing."""
        if head.status < 200:
            return
        signing, admitted = self._signing, self._admitted
        try:
            if signing is not None and signing.answered(head.status, head.blocks) is None:
                return
        except SignOnError as problem:
            self.not_signed_on(problem)
            return
        if self._method == b"HEAD" and head.status in _NO_HEAD:
            self._let_go()
            self._ask(b"GET")
            return
        attempt = admitted.attempt if admitted is not None else None
        proved = attempt.proved() if attempt is not None else None
        asked = f"{self._method.decode()} {self._served.backend.internal_url.path}"
        self._tell(verdict(asked, head.status, head.blocks, proved, self._milliseconds))

    def answer_data(self, data: bytes) -> None:
        """Of an answer that only asked for a sign-on; no other is read."""
        signing = self._signing
        if signing is not None and signing.dropping and signing.drop(data):
            self._sign_on_anew(signing, clean=False)

    def answer_end(self, end: End) -> None:
        """An answer that only asked for a sign-on is complete."""
        signing = self._signing
        if signing is not None and signing.dropping:
            self._sign_on_anew(signing, clean=True)

    def answer_failed(self, rule: str, started: bool) -> None:
        """It breaks off, or breaks the rules."""
        connection, signing = self._connection, self._signing
        self._connection = None
        stale = rule == "closed" and not started and connection is not None and connection.used > 1
        if signing is not None and (signing.dropping or stale):
            signing.begin()
        else:
            self._fail("backend_protocol", "closed without an answer" if rule == "closed" else rule)

    def bug(self, failure: Failure) -> None:
        """Our own mistake: it costs this call."""
        _log.failure("{event}: a call of an application's first page", failure, event="bug", fault="ours")
        self._fail("bug", "")

    def _sign_on_anew(self, signing: SignOnSteps, clean: bool) -> None:
        connection, request = self._connection, self._request
        if connection is not None and request is not None and not (connection.finish() and clean):
            request.give_back(connection, clean=False)
            self._connection = None
        signing.begin()

    # -- the end

    @property
    def _milliseconds(self) -> float:
        return (self._seconds() - self._began) * 1000

    def _fail(self, reason: str, detail: str) -> None:
        self._tell(failed(reason, detail, self._milliseconds, advice(reason)))

    def _tell(self, step: Step) -> None:
        told, self._told = self._told, None
        self._let_go()
        if told is not None:
            told(step)

    def _let_go(self) -> None:
        signing, self._signing = self._signing, None
        if signing is not None:
            signing.cancel()
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
        connection, self._connection = self._connection, None
        if connection is not None and self._request is not None:
            connection.finish()
            self._request.give_back(connection, clean=False)
