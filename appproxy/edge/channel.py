"""
HTTP/1.1 at the edge: one client connection, from parsed events to exchanges and pages.

The channel asks the gate about each request head and starts what it says. It is
the L{ClientWriter} of every answer on its connection.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.edge.answers import Answer
from appproxy.edge.channel_services import ChannelServices
from appproxy.edge.client_connection import ClientConnection
from appproxy.edge.client_writer import ClientWriter
from appproxy.edge.exchange import Exchange
from appproxy.edge.gate import STORE_AWAY
from appproxy.edge.request_sequence import RequestSequence
from appproxy.edge.verdict import Fetch, Forward, Local, Refuse, Verdict
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import field, fields
from appproxy.httpwire.heads import NO_BODY, RequestHead
from appproxy.httpwire.request_parser import RequestEvent
from appproxy.httpwire.writer import content_length, write_response
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction

_log: Final = Logger(__name__)

_ERRORS_OF_STATUS: Final = {
    400: Error.BadRequest,
    405: Error.MethodNotAllowed,
    408: Error.RequestTimeout,
    414: Error.UriTooLong,
    431: Error.HeadTooLarge,
}
_BUG: Final = Refusal(Error.InternalServerError, "bug", "ours")


class EdgeChannel(RequestSequence, ClientWriter):
    """
    One HTTP/1.1 connection of a client: what becomes of each of its requests.

    @ivar client: what outlives the requests of this connection.
    """

    def __init__(self, services: ChannelServices, client: ClientConnection) -> None:
        RequestSequence.__init__(self, services, client.facts.scheme == b"http")
        self.client = client
        self._transaction: Transaction | None = None
        # The transaction while it is nobody else's to close.
        self._owed: Transaction | None = None

    # -- IProtocol

    def connectionMade(self) -> None:
        """Watch the client's pace from the first byte on."""
        self._services.channels.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever was at work, and let go of everything."""
        self._services.leave(self)
        self._line_lost()
        self._let_go()
        self.client.gone()

    # -- ClientWriter

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a page or a problem document."""
        self._sink = None
        if self._head is None or self._transaction is None or self._closing:
            return
        answers = self._services.answers
        try:
            answer = answers.refused(refusal, self._head, self.client.facts, self._transaction)
        except Exception:
            self._log_bug()
            answer = answers.plain(refusal, self._transaction)
        self._write_answer(answer)

    # -- from the daemon

    def drain(self) -> None:
        """The daemon stops: an idle connection closes now, a busy one after its answer."""
        if self._head is None and not self._raw and self._early is None:
            self._hang_up()

    def cut(self) -> None:
        """The daemon waits no longer."""
        self._cut()

    # -- requests

    def _requested(self, head: RequestHead) -> None:
        transaction = self._transaction = self._owed = self._services.new_transaction()
        facts = self.client.facts
        transaction.client_address = facts.client_address
        transaction.method = head.method
        transaction.host = head.host
        transaction.target = head.target
        transaction.user_agent = head.user_agent
        if head.upgrade == b"websocket":
            transaction.protocol = "websocket"
        self._judge(head, transaction, first=True)

    def _judge(self, head: RequestHead, transaction: Transaction, first: bool) -> None:
        verdict = self._services.judge(head, self.client.facts)
        if isinstance(verdict, Fetch):
            if first:
                self._held = []
                self._services.fetch(verdict.session_id, self._fetched)
                return
            # It was looked for and still nobody can tell.
            verdict = Refuse(STORE_AWAY)
        declined: list[RequestEvent] = []
        if head.upgrade is not None and not _takes_upgrade(head, verdict):
            head.upgrade = None
            declined = self._parser.decline_upgrade()
        self._act(verdict, head, transaction)
        if declined:
            self._request_over([])

    def _act(self, verdict: Verdict, head: RequestHead, transaction: Transaction) -> None:
        services = self._services
        if isinstance(verdict, Forward):
            view = verdict.view
            transaction.application = view.id
            transaction.connector_group = view.group
            principal = verdict.principal
            if principal is not None:
                transaction.user, transaction.session = principal.label, principal.session_id
            if services.as_page and head.upgrade is None:
                self._start_page(verdict, head, transaction)
                return
            exchange = self._sink = Exchange(services.exchanges, self, self.client, transaction)
            self._owed = None
            exchange.begin(head, verdict)
        elif isinstance(verdict, Local):
            if verdict.principal is not None:
                transaction.user, transaction.session = verdict.principal.label, verdict.principal.session_id
            self._start_page(verdict, head, transaction)
        else:
            self._write_answer(services.answers.of(verdict, head, self.client.facts, transaction))

    def _start_page(self, verdict: Local | Forward, head: RequestHead, transaction: Transaction) -> None:
        page = self._sink = self._services.make_page(self, head, transaction, verdict)
        self._owed = None
        page.start()

    def _fetched(self) -> None:
        held, self._held = self._held, None
        head, transaction = self._head, self._transaction
        if held is None or self._closing or head is None or transaction is None:
            return
        try:
            self._judge(head, transaction, first=False)
        except Exception:
            self._bug()
        self._pump(held)

    def _forget_request(self) -> None:
        self._head = self._transaction = None

    # -- answers of our own

    def _write_answer(self, answer: Answer) -> None:
        transaction, head = self._transaction, self._head
        self._sink = None
        if head is None or transaction is None:
            return
        if answer.close:
            head.keep_alive = False
        without_body = head.method == b"HEAD"
        headers = fields(answer.headers)
        strict_transport = self._services.strict_transport(head.host)
        if strict_transport:
            headers.append(field(b"Strict-Transport-Security", strict_transport))
        if without_body:
            headers.append(content_length(len(answer.body)))
        self.head(answer.status, NO_BODY if without_body else len(answer.body), blocks_of(headers))
        if answer.body and not without_body:
            self.data(answer.body)
            transaction.bytes_out += len(answer.body)
        self._finish_owed()
        self.end([])

    def _finish_owed(self) -> None:
        transaction, self._owed = self._owed, None
        if transaction is not None:
            self._services.exchanges.finished(transaction)

    def _let_go(self) -> None:
        self._leave_turn()
        sink, self._sink = self._sink, None
        try:
            if sink is not None:
                sink.client_gone()
            elif self._owed is not None:
                self._owed.reason = self._owed.reason or "client_gone"
                self._finish_owed()
        except Exception:
            self._log_bug()

    # -- what goes wrong

    def _bad_message(self, problem: BadMessage) -> None:
        """Whatever follows on this connection cannot be trusted to be in step."""
        refusal = Refusal(_ERRORS_OF_STATUS.get(problem.status, Error.BadRequest), problem.rule)
        if self._transaction is None:
            self._transaction = self._owed = self._services.new_transaction()
            self._transaction.client_address = self.client.facts.client_address
        self._fail(refusal)

    def _bug(self) -> None:
        """Something of ours raised: this request pays for it, and no other."""
        self._log_bug()
        if self._transaction is None:
            self._hang_up()
        else:
            self._fail(_BUG)

    def _fail(self, refusal: Refusal) -> None:
        """Say so in plain words if the answer has not begun; in any case the connection ends."""
        transaction = self._transaction
        if self._closing or transaction is None:
            return
        if (self._answered and self._head is not None) or self._framer is not None or self._raw:
            transaction.reason = transaction.reason or refusal.reason
            self._let_go()
            self.break_off()
            return
        transaction.refused(refusal)
        answer = self._services.answers.plain(refusal, transaction)
        transaction.bytes_out += len(answer.body)
        framing = [content_length(len(answer.body)), field(b"Connection", b"close")]
        self.write(write_response(answer.status, None, blocks_of(fields(answer.headers)), framing))
        if self._head is None or self._head.method != b"HEAD":
            self.write(answer.body)
        self._hang_up()

    def _log_bug(self) -> None:
        _log.failure(
            "{event}: a request could not be handled",
            event="bug",
            fault="ours",
            transaction_id=self._transaction.id if self._transaction is not None else "",
        )


def _takes_upgrade(head: RequestHead, verdict: Verdict) -> bool:
    return isinstance(verdict, Forward) and head.upgrade in verdict.view.upgrades
