"""
Tests of L{appproxy.pages.answers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from appproxy.pages.answers import NEUTRAL_STYLE, ReadOnly, respond, security_headers
from appproxy.pages.pages import Pages
from tests.pages.support import Answer, Page, ask, refuses_other_methods


class _Fixed(Resource):
    isLeaf = True

    def __init__(self, transaction_id: str) -> None:
        Resource.__init__(self)
        self._transaction_id = transaction_id

    def render_GET(self, request: Request) -> bytes:
        return respond(request, 403, b"<p>no</p>", transaction_id=self._transaction_id)


class RespondTests(SynchronousTestCase):
    """L{respond}."""

    def answer(self, transaction_id: str = "", method: str = "GET") -> Answer:
        """What a client gets."""
        return ask(_Fixed(transaction_id), "/", method=method)

    def test_protected(self) -> None:
        """A page runs nothing, is framed by nobody and kept by nobody."""
        headers = self.answer().headers
        policy = headers["Content-Security-Policy"]
        for each in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            self.assertIn(each, policy)
        self.assertNotIn("script-src", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(headers["Cache-Control"], "no-store")
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")

    def test_forms_keep_their_origin(self) -> None:
        """The referrer policy lets a browser send the Origin that the sign-out check wants."""
        self.assertEqual(self.answer().headers["Referrer-Policy"], "same-origin")

    def test_transaction(self) -> None:
        """The transaction id is a header where there is one."""
        self.assertEqual(self.answer("01AB").headers["AppProxy-Transaction-Id"], "01AB")
        self.assertNotIn("AppProxy-Transaction-Id", self.answer().headers)

    def test_head(self) -> None:
        """HEAD gets the same head and no body."""
        answer = self.answer(method="HEAD")
        self.assertEqual((answer.status, answer.body), (403, b""))
        self.assertEqual(answer.headers["Content-Length"], "9")

    def test_form_targets(self) -> None:
        """What forms may lead to can be narrowed or widened."""
        policy = dict(security_headers(["https://login.example.com"]))[b"Content-Security-Policy"]
        self.assertIn(b"form-action 'self' https://login.example.com;", policy)

    def test_neutral_style_allowed(self) -> None:
        """The unbranded page has the one inline style that the policy names."""
        self.assertIn(NEUTRAL_STYLE.encode(), Pages().neutral_not_found("x"))
        self.assertEqual(len(Page(Pages().neutral_not_found("x")).all("style")), 1)


class _Readable(ReadOnly):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return respond(request, 200, b"<p>yes</p>")


class ReadOnlyTests(SynchronousTestCase):
    """L{ReadOnly}."""

    def test_read(self) -> None:
        """GET gets the page, HEAD its head."""
        self.assertEqual(ask(_Readable(), "/").body, b"<p>yes</p>")
        head = ask(_Readable(), "/", method="HEAD")
        self.assertEqual((head.status, head.headers["Content-Length"], head.body), (200, "10", b""))

    def test_other_methods(self) -> None:
        """Any other method, known or not, gets an answer that is protected like a page."""
        refuses_other_methods(self, _Readable(), "/")
