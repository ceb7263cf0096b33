"""Tests of L{appproxy.edge.answers}, with real pages and real sign-in requests."""

from __future__ import annotations

import json

from appproxy.edge.answers import Answer, Answers
from appproxy.edge.verdict import Forward, Redirect, Refuse, SignIn, SignInPage, Unauthorised, Verdict
from appproxy.httpwire.heads import RequestHead
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction
from appproxy.session.cookies import SIGN_IN_COOKIE
from tests.contract.rig import ADA, DOMAIN, shared_pages
from tests.edge.support import HR, facts, head
from tests.session.support import EdgeTestCase

ORIGIN = f"https://{HR}"
HTML = "Accept: text/html"
JSON = "Accept: application/json"
NO_CONNECTOR = Refusal(Error.GatewayTimeout, "no_connector", "operator")
VALUE = "v" * 43


class AnswersTestCase(EdgeTestCase):
    """Has an edge's sessions and pages."""

    def setUp(self) -> None:
        super().setUp()
        self.answers = Answers(shared_pages(), self.edge.handover, self.clock.seconds)
        self.transaction = Transaction("01ARZ3NDEKTSV4RRFFQ69G5FAV", self.clock.seconds())

    def of(self, verdict: Verdict, asked: RequestHead) -> Answer:
        """The answer to a verdict."""
        return self.answers.of(verdict, asked, facts(HR), self.transaction)

    def one(self, answer: Answer, name: bytes) -> bytes:
        """The only value of a header."""
        (value,) = [value for other, value in answer.headers if other == name]
        return value


class SignInTests(AnswersTestCase):
    """Ways to sign-in."""

    def test_redirect(self) -> None:
        """A navigation leaves for the sign-in host with a sealed request, and comes back to where it was."""
        answer = self.of(SignIn("no_session", "hr", ORIGIN), head("/a?b=c", HTML, host=HR))
        location = self.one(answer, b"Location")
        self.assertEqual(answer.status, 302)
        self.assertNotIn(HR.encode(), location)
        request = self.edge.handover.read_request(location.partition(b"return=")[2])
        self.assertEqual(request.url, ORIGIN + "/a?b=c")
        self.assertTrue(self.one(answer, b"Set-Cookie").startswith(SIGN_IN_COOKIE + b"="))
        self.assertEqual(self.one(answer, b"Cache-Control"), b"no-store")
        self.assertEqual((self.transaction.status, self.transaction.reason), (302, "no_session"))

    def test_same_browser(self) -> None:
        """A browser keeps its value, so that several tabs can sign in at once."""
        cookie = f"Cookie: {SIGN_IN_COOKIE.decode()}={VALUE}"
        answer = self.of(SignIn("no_session", "hr", ORIGIN), head("/", HTML, cookie, host=HR))
        self.assertIn(VALUE.encode(), self.one(answer, b"Set-Cookie"))

    def test_long_target(self) -> None:
        """A target that is too long for a redirect comes back to the root."""
        answer = self.of(SignIn("no_session", "hr", ORIGIN), head("/" + "x" * 5000, HTML, host=HR))
        location = self.one(answer, b"Location")
        self.assertLess(len(location), 4096)
        self.assertEqual(self.edge.handover.read_request(location.partition(b"return=")[2]).url, ORIGIN + "/")

    def test_post_page(self) -> None:
        """A form's POST gets a page that leads to sign-in: its body cannot be sent again."""
        answer = self.of(SignInPage("session_expired", "hr", ORIGIN), head("/", HTML, host=HR, method="POST"))
        self.assertEqual(answer.status, 401)
        self.assertIn(b"/.appproxy/sign-in?return=", answer.body)
        self.assertEqual(self.one(answer, b"Content-Type"), b"text/html; charset=utf-8")
        self.assertEqual(self.one(answer, b"WWW-Authenticate"), b'AppProxy realm="%s"' % HR.encode())
        self.assertEqual(self.transaction.reason, "session_expired")

    def test_unauthorised(self) -> None:
        """A script gets JSON that says where a person would sign in; it binds no browser."""
        answer = self.of(Unauthorised("no_session", "hr", ORIGIN), head("/", JSON, host=HR))
        document = json.loads(answer.body)
        self.assertEqual(
            (answer.status, document["status"], document["type"], document["sign_in_url"]),
            (401, 401, "urn:appproxy:error:SignInRequired", ORIGIN + "/"),
        )
        self.assertEqual(document["transaction_id"], self.transaction.id)
        self.assertNotIn(b"Set-Cookie", [name for name, _ in answer.headers])
        self.assertEqual(self.one(answer, b"WWW-Authenticate"), b'AppProxy realm="%s"' % HR.encode())


class RefusalTests(AnswersTestCase):
    """Who is turned away."""

    def test_page_or_document(self) -> None:
        """People get a page, programs a document, and who says nothing a page."""
        refuse = Refuse(NO_CONNECTOR, "hr")
        for headers, page in (
            ((HTML,), True),
            ((), True),
            (("Accept: */*",), True),
            ((JSON,), False),
            (("Sec-Fetch-Mode: cors", "Accept: */*"), False),
            ((HTML, "X-Requested-With: XMLHttpRequest"), False),
            (("Connection: Upgrade", "Upgrade: websocket"), False),
        ):
            answer = self.of(refuse, head("/", *headers, host=HR))
            self.assertEqual(self.one(answer, b"Content-Type").startswith(b"text/html"), page, headers)
            self.assertIn(self.transaction.id.encode(), answer.body)
            self.assertEqual(answer.status, 504)

    def test_retry(self) -> None:
        """ "Try again" leads to the same address, where that can help and does no harm."""
        for refusal, method, offered in (
            (NO_CONNECTOR, "GET", True),
            (NO_CONNECTOR, "POST", False),
            (Refusal(Error.Forbidden, "not_assigned"), "GET", False),
        ):
            answer = self.of(Refuse(refusal, "hr"), head("/some/page", HTML, host=HR, method=method))
            self.assertEqual(f"{ORIGIN}/some/page".encode() in answer.body, offered, (refusal, method))

    def test_who(self) -> None:
        """A user who is not assigned sees as whom, and so does the log."""
        answer = self.of(
            Refuse(Refusal(Error.Forbidden, "not_assigned"), "hr", ADA), head("/", HTML, host=HR)
        )
        self.assertIn(ADA.label.encode(), answer.body)
        self.assertEqual((self.transaction.user, self.transaction.application), (ADA.label, "hr"))

    def test_neutral(self) -> None:
        """A host that is not known gets a page that does not say whose it is."""
        verdict = Refuse(Refusal(Error.NotFound, "unknown_host"), neutral=True, close=True)
        answer = self.of(verdict, head("/", HTML, host="x.example"))
        self.assertEqual((answer.status, answer.close), (404, True))
        self.assertNotIn(DOMAIN.encode(), answer.body)
        self.assertIn(self.transaction.id.encode(), answer.body)

    def test_nothing_reflected(self) -> None:
        """What a client sends is never markup on our page."""
        asked = head('/"><script>alert(1)</script>', HTML, 'User-Agent: "><script>', host=HR)
        self.assertNotIn(b"<script", self.of(Refuse(NO_CONNECTOR, "hr"), asked).body)

    def test_redirect(self) -> None:
        """To https, with nothing in it."""
        answer = self.of(Redirect(b"https://x/"), head())
        self.assertEqual(
            (answer.status, answer.headers, answer.body), (308, [(b"Location", b"https://x/")], b"")
        )

    def test_no_answer_of_ours(self) -> None:
        """A verdict that lets something through has none; asking is a mistake."""
        with self.assertRaises(TypeError):
            self.of(Forward(None, None), head())  # type: ignore[arg-type]

    def test_plain(self) -> None:
        """For what is no request, plain words, and the end of the connection."""
        answer = self.answers.plain(Refusal(Error.BadRequest, "both_length_and_chunked"), self.transaction)
        self.assertEqual((answer.status, answer.close), (400, True))
        self.assertIn(b"both_length_and_chunked", answer.body)
        self.assertIn(self.transaction.id.encode(), answer.body)
