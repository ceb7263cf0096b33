"""
What the edge itself answers: redirects to sign-in, pages that say why not, and
the same for callers that read no pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appproxy.edge.facts import ConnectionFacts, browser_value, header_values, is_navigation, is_script
from appproxy.edge.verdict import Redirect, Refuse, SignIn, SignInPage, Unauthorised, Verdict
from appproxy.httpwire.field import Pair
from appproxy.httpwire.heads import RequestHead
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction
from appproxy.pages.answers import HTML, PROBLEM_JSON, TRANSACTION_HEADER
from appproxy.pages.pages import Pages
from appproxy.session.handover import Handover, SignInStart

_HELPED_BY_RETRY: Final = frozenset(
    {Error.BadGateway, Error.ServiceUnavailable, Error.GatewayTimeout, Error.InternalServerError}
)
_TEXT: Final = b"text/plain; charset=utf-8"
_MAXIMUM_RETURN: Final = 2048
"""A longer address of return does not fit into a cookie or a redirect; the host's root does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One answer, ready to be framed.

    @ivar close: whether the connection ends with it.
    """

    status: int
    headers: list[Pair]
    body: bytes
    close: bool = False


class Answers:
    """
    Makes answers; knows pages and how sign-in begins, and touches no connection.
    """

    def __init__(
        self,
        pages: Pages,
        handover: Handover,
        now: Callable[[], float],
    ) -> None:
        self._pages = pages
        self._handover = handover
        self._now = now

    def of(
        self, verdict: Verdict, head: RequestHead, facts: ConnectionFacts, transaction: Transaction
    ) -> Answer:
        """The answer to a verdict that lets nothing through."""
        if isinstance(verdict, (SignIn, SignInPage, Unauthorised, Refuse)):
            transaction.application = verdict.application_id
        if isinstance(verdict, SignIn):
            return self._redirect_to_sign_in(verdict, head, transaction)
        if isinstance(verdict, SignInPage):
            return self._post_page(verdict, head, transaction)
        if isinstance(verdict, Unauthorised):
            return self._unauthorised(verdict, head, transaction)
        if isinstance(verdict, Redirect):
            transaction.status = 308
            return Answer(308, [(b"Location", verdict.location)], b"")
        if isinstance(verdict, Refuse):
            return self._refuse(verdict, head, facts, transaction)
        raise TypeError(f"{type(verdict).__name__} has no answer of its own")

    def refused(
        self,
        refusal: Refusal,
        head: RequestHead,
        facts: ConnectionFacts,
        transaction: Transaction,
    ) -> Answer:
        """
        A page, or a problem document, that says why not. Whoever was too slow has no use for the connection
        any more, and should know that (RFC 9110, section 15.5.9).
        """
        transaction_id = transaction.id
        if _wants_page(head):
            retry = _address(head, facts) if _may_retry(refusal, head) else None
            body = self._pages.error(
                refusal,
                transaction_id,
                self._now(),
                host=head.host.decode("ascii", "replace"),
                retry_url=retry,
                user=transaction.user or None,
            )
            content_type = HTML
        else:
            body = self._pages.problem_json(refusal, transaction_id)
            content_type = PROBLEM_JSON
        headers = self._headers(transaction_id, content_type)
        return Answer(refusal.status, headers, body, close=refusal.error is Error.RequestTimeout)

    def plain(self, refusal: Refusal, transaction: Transaction) -> Answer:
        """In plain words: for bytes that were no request, or where a page cannot be made."""
        body = f"{refusal.status} {refusal.error.name}: {refusal.reason}\n{transaction.id}\n"
        return Answer(refusal.status, self._headers(transaction.id, _TEXT), body.encode(), close=True)

    def _begin(self, origin: str, head: RequestHead, target: bytes) -> SignInStart:
        return self._handover.begin(origin, target, browser_value(head))

    def _redirect_to_sign_in(self, verdict: SignIn, head: RequestHead, transaction: Transaction) -> Answer:
        transaction.status = 302
        transaction.error, transaction.reason = Error.SignInRequired.name, verdict.reason
        start = self._begin(verdict.origin, head, _return_target(head))
        headers = self._headers(transaction.id, _TEXT)
        headers += [(b"Location", start.location.encode()), (b"Set-Cookie", start.set_cookie)]
        return Answer(302, headers, b"Sign in to go on.\n")

    def _post_page(self, verdict: SignInPage, head: RequestHead, transaction: Transaction) -> Answer:
        refusal = Refusal(Error.SignInRequired, verdict.reason)
        transaction.refused(refusal)
        start = self._begin(verdict.origin, head, b"/")
        body = self._pages.post_needs_sign_in(
            transaction.id,
            self._now(),
            host=head.host.decode("ascii", "replace"),
            sign_in_url=start.location,
        )
        headers = self._headers(transaction.id, HTML)
        headers += [_challenge(head), (b"Set-Cookie", start.set_cookie)]
        return Answer(401, headers, body)

    def _unauthorised(self, verdict: Unauthorised, head: RequestHead, transaction: Transaction) -> Answer:
        refusal = Refusal(Error.SignInRequired, verdict.reason)
        transaction.refused(refusal)
        # No sealed request here: a script's 401 binds no browser to a sign-in. The
        # host's root starts one when a person opens it.
        body = self._pages.problem_json(refusal, transaction.id, sign_in_url=verdict.origin + "/")
        headers = self._headers(transaction.id, PROBLEM_JSON)
        headers.append(_challenge(head))
        return Answer(401, headers, body)

    def _refuse(
        self, verdict: Refuse, head: RequestHead, facts: ConnectionFacts, transaction: Transaction
    ) -> Answer:
        refusal = verdict.refusal
        transaction.refused(refusal)
        if verdict.principal is not None:
            transaction.user = verdict.principal.label
            transaction.session = verdict.principal.session_id
        if not verdict.neutral:
            answer = self.refused(refusal, head, facts, transaction)
            return Answer(answer.status, answer.headers, answer.body, close=verdict.close)
        body = self._pages.neutral_not_found(transaction.id)
        headers = self._headers(transaction.id, HTML)
        return Answer(refusal.status, headers, body, close=verdict.close)

    def _headers(self, transaction_id: str, content_type: bytes) -> list[Pair]:
        return [
            *self._pages.security_headers(),
            (b"Content-Type", content_type),
            (TRANSACTION_HEADER, transaction_id.encode()),
        ]


def _wants_page(head: RequestHead) -> bool:
    return head.upgrade is None and (is_navigation(head) or not _says_no_html(head))


def _says_no_html(head: RequestHead) -> bool:
    if header_values(head, b"sec-fetch-mode") or is_script(head):
        return True
    accept = header_values(head, b"accept")
    return bool(accept) and not any(b"text/html" in value or b"*/*" in value for value in accept)


def _may_retry(refusal: Refusal, head: RequestHead) -> bool:
    return refusal.error in _HELPED_BY_RETRY and head.method in (b"GET", b"HEAD")


def _authority(head: RequestHead, facts: ConnectionFacts) -> bytes:
    usual = 443 if facts.scheme == b"https" else 80
    return head.host if facts.port == usual else b"%s:%d" % (head.host, facts.port)


def _origin(head: RequestHead, facts: ConnectionFacts) -> str:
    return f"{facts.scheme.decode()}://{_authority(head, facts).decode('ascii', 'replace')}"


def _address(head: RequestHead, facts: ConnectionFacts) -> str:
    return _origin(head, facts) + head.target.decode("latin-1")


def _return_target(head: RequestHead) -> bytes:
    return head.target if len(head.target) <= _MAXIMUM_RETURN else b"/"


def _challenge(head: RequestHead) -> tuple[bytes, bytes]:
    return b"WWW-Authenticate", b'AppProxy realm="%s"' % head.host
