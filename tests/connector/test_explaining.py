"""L{appproxy.connector.explaining}: a sign-on that is tried for an edge that asks."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.dial import BackendError
from appproxy.connector.explaining import MAXIMUM_ANSWER, MAXIMUM_STEPS, MAXIMUM_WAITING, explanation
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import Field, field
from appproxy.httpwire.wire_heads import pack_request
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.sign_on import SignOn, Step
from appproxy.tunnel.messages import NO_BODY, OpenMessage
from appproxy.tunnel.questions import principal_header
from tests.connector.support import ADA, REVISION, Answer, Edge, backend, failures_of
from tests.connector.test_signing import CountedMode, CountedSignOns

ASKED = Principal("https://idp.example", "ada", "", user_principal_name="ada@example.com")
ID = "01ARZ3NDEKTSV4RRFFQ69G5FAX"
CLOCK = Step("the clock", "ok", "0.1 s apart", milliseconds=1.26)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=secret\r\n\r\n"
ASKS = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\n"


class ExplainedMode(CountedMode):
    """
    A mode whose steps the test decides.

    @ivar asked: whose were tried.
    @ivar trying: of those that are not through yet, if the mode tries them slowly.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] | None = [CLOCK]
        self.slow = False
        self.asked: list[Principal] = []
        self.trying: list[Deferred[list[Step]]] = []
        self.given_up: list[Deferred[list[Step]]] = []

    def advise(self, problem: SignOnError) -> str:
        """Of one cause alone."""
        return "Drink it." if problem.cause == "tea" else ""

    def explain(self, principal: Principal) -> Deferred[list[Step]] | None:
        """As the test wants it."""
        self.asked.append(principal)
        if self.steps is None:
            return None
        if not self.slow:
            return succeed(self.steps)
        trying: Deferred[list[Step]] = Deferred(self.given_up.append)
        self.trying.append(trying)
        return trying


class ExplainedSignOns(CountedSignOns):
    """Every application has it."""

    def __init__(self) -> None:
        super().__init__()
        self.explained = ExplainedMode()

    def of(self, backend: Backend) -> SignOn:
        """The mode."""
        return self.explained


class ExplainingTestCase(SynchronousTestCase):
    """A connector whose sign-on has steps."""

    def setUp(self) -> None:
        """One application, at a path of its own."""
        self.sign_ons = ExplainedSignOns()
        self.mode = self.sign_ons.explained
        self.edge = Edge([backend(passthrough=False, internal="http://wiki.corp.example/in/")], self.sign_ons)
        self.edge.know(1, ADA)

    def ask(self, *headers: Field, application: str = "wiki", revision: int = REVISION) -> Answer:
        """Open the stream of the question; for Ada unless other headers are given."""
        head = pack_request(b"EXPLAIN", b"/", blocks_of(list(headers) or [principal_header(ASKED)]))
        message = OpenMessage(30_000, ID, application, revision, 0, bytes(8), NO_BODY, False, head, ask=True)
        answer = Answer()
        answer.stream = self.edge.session.open(message, answer)
        self.edge.pump()
        return answer

    def steps(self, answer: Answer) -> list[dict[str, Any]]:
        """What was answered."""
        self.assertEqual((answer.status, answer.complete), (200, True), answer.calls)
        told: list[dict[str, Any]] = json.loads(answer.body)["steps"]
        return told

    def last(self, answer: Answer) -> dict[str, Any]:
        """What was answered of the application."""
        step = self.steps(answer)[-1]
        self.assertEqual(step["name"], "The application's answer")
        return step


class ExplainingTests(ExplainingTestCase):
    """The mode's steps."""

    def test_all_well(self) -> None:
        """The steps come back in their order, then what the application answered to that very user."""
        with capturedLogs() as events:
            answer = self.ask()
            lines = self.edge.transport.take().split(b"\r\n")
            self.edge.clock.advance(0.25)
            self.edge.say(OK)
        self.assertEqual(self.mode.asked, [ASKED])
        self.assertEqual(lines[0], b"HEAD /in/ HTTP/1.1")
        for line in (
            b"Authorization: ada-1",
            b"User-Agent: appproxy-explain",
            b"X-Request-Id: " + ID.encode(),
        ):
            self.assertIn(line.lower(), [each.lower() for each in lines])
        first, last = self.steps(answer)
        told = {"name": "the clock", "outcome": "ok", "detail": "0.1 s apart", "cause": "", "advice": ""}
        self.assertEqual(first, told | {"milliseconds": 1.3})
        self.assertEqual((last["outcome"], last["milliseconds"]), ("ok", 250.0))
        self.assertEqual(last["detail"], "HEAD /in/ was answered 200")
        self.assertNotIn(b"secret", answer.body)
        (logged,) = [event for event in events if event.get("event") == "explain"]
        self.assertEqual((logged["outcome"], logged["transaction_id"]), ("ok", ID))
        self.assertEqual(self.edge.served, [])

    def test_failed(self) -> None:
        """After a step that failed the application is not called."""
        self.mode.steps = [CLOCK, Step("the keytab", "failed", "no entry", "keytab_stale", "Write it anew.")]
        answer = self.ask()
        self.assertEqual([step["outcome"] for step in self.steps(answer)], ["ok", "failed", "skipped"])
        self.assertEqual(self.steps(answer)[1]["advice"], "Write it anew.")
        self.assertEqual(self.edge.backends.transports, [])

    def test_no_steps(self) -> None:
        """A sign-on without steps is told as one."""
        self.mode.steps = None
        answer = self.ask()
        self.assertEqual((answer.status, answer.complete), (404, True))

    def test_refused(self) -> None:
        """What cannot be tried is refused, with the reason that a request would get."""
        self.assertEqual(self.ask(revision=REVISION + 1).reason, "stale")
        self.assertEqual(self.ask(application="other").reason, "backend_not_allowed")
        self.assertEqual(self.ask(field(b"X", b"y")).reason, "bug")
        self.assertEqual(self.mode.asked, [])

    def test_bug(self) -> None:
        """A bug in a mode is told as a step, and the next question has its turn."""
        self.mode.slow = True
        answer = self.ask()
        self.mode.trying.pop().errback(ZeroDivisionError())
        self.edge.pump()
        self.assertEqual([step["cause"] for step in self.steps(answer)], ["bug", ""])
        self.assertEqual(failures_of(self, ZeroDivisionError), 1)
        self.ask()
        self.assertEqual(len(self.mode.asked), 2)


class TurnTests(ExplainingTestCase):
    """KDC and directory are asked for one user at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.mode.slow = True

    def test_one_at_a_time(self) -> None:
        """One is tried, some wait for their turn, and what is too many is told so."""
        answers = [self.ask() for _ in range(MAXIMUM_WAITING + 1)]
        self.assertEqual(len(self.mode.asked), 1)
        self.assertEqual(self.ask().reason, "busy")
        for number, answer in enumerate(answers, 1):
            self.assertEqual(len(self.mode.asked), number)
            self.mode.trying.pop().callback([CLOCK])
            self.edge.say(OK)
            self.assertEqual(len(self.steps(answer)), 2)
        self.assertFalse(self.mode.trying)

    def test_late(self) -> None:
        """Steps that take too long are given up; who waited as long does not begin; then there is room."""
        trying, waiting = self.ask(), self.ask()
        self.edge.advance(32)
        self.assertEqual((trying.reason, waiting.reason), ("sso_timeout", "busy"))
        self.assertEqual(self.mode.given_up, self.mode.trying)
        self.ask()
        self.assertEqual(len(self.mode.asked), 2)
        self.mode.trying.pop().callback([CLOCK])
        self.assertIn(b"HEAD", self.edge.transport.take())

    def test_nobody_waits(self) -> None:
        """An edge that gives up ends what is tried for it, or its place in the line."""
        trying, waiting, last = self.ask(), self.ask(), self.ask()
        for answer in (waiting, trying):
            answer.open_stream.reset("cancelled")
        self.edge.pump()
        self.assertEqual(len(self.mode.given_up), 1)
        self.assertEqual(len(self.mode.asked), 2)
        self.mode.trying[1].callback([CLOCK])
        self.edge.say(OK)
        self.assertEqual(len(self.steps(last)), 2)

    def test_tunnel_lost(self) -> None:
        """So does a tunnel that is gone."""
        self.ask()
        self.edge.acceptor.connection_lost("gone")
        self.assertEqual(len(self.mode.given_up), 1)


class FirstPageTests(ExplainingTestCase):
    """What an application answers to the signed-on user."""

    def test_still_asks(self) -> None:
        """An application that still asks did not accept the sign-on; its schemes are told, and no token."""
        answer = self.ask()
        for _ in range(3):
            self.edge.say(ASKS)
        self.edge.say(
            b'HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate YII=, Basic realm="a, b"\r\n'
            b"WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
        )
        step = self.last(answer)
        self.assertEqual((step["outcome"], step["cause"]), ("failed", "still_asks"))
        self.assertTrue(step["detail"].endswith("by Negotiate, Basic, NTLM"), step["detail"])
        self.assertIn("service_principal_name", step["advice"])
        self.assertNotIn(b"YII", answer.body)

    def test_asks_for_something_else(self) -> None:
        """One that does not ask for Negotiate has it switched off."""
        self.mode.steps = []
        answer = self.ask()
        for _ in range(4):
            self.edge.say(ASKS.replace(b"Negotiate", b"Basic realm=x"))
        self.assertIn("does not ask for Negotiate", self.last(answer)["advice"])

    def test_asks_first(self) -> None:
        """What asks for a sign-on gets it, on the same connection or on another one."""
        answer = self.ask()
        self.assertIn(b"ada-1", self.edge.transport.take())
        self.edge.say(ASKS)
        self.assertIn(b"ada-2", self.edge.transport.take())
        self.assertEqual(len(self.edge.backends.transports), 1)
        self.edge.say(ASKS.replace(b"Content-Length", b"Connection: close\r\nContent-Length"))
        self.assertIn(b"ada-3", self.edge.transport.take())
        self.assertEqual(len(self.edge.backends.transports), 2)
        self.edge.say(OK)
        self.assertEqual(self.last(answer)["outcome"], "ok")

    def test_no_head(self) -> None:
        """An application that does not know HEAD gets a GET, of which no body is read."""
        for status in (b"405", b"501"):
            answer = self.ask()
            self.edge.say(b"HTTP/1.1 " + status + b" No\r\nContent-Length: 9\r\n\r\n")
            self.assertTrue(self.edge.transport.take().startswith(b"GET /in/ "))
            self.edge.say(OK + b"h")
            self.assertEqual(self.last(answer)["detail"], "GET /in/ was answered 200")
            self.assertTrue(self.edge.transport.over)

    def test_get_asks(self) -> None:
        """The sign-on of a GET may take two rounds, too, whatever comes in the first one's body."""
        answer = self.ask()
        self.edge.say(b"HTTP/1.1 405 No\r\nContent-Length: 9\r\n\r\n")
        self.edge.say(ASKS + b"who?")
        self.edge.say(ASKS.replace(b": 4", b": 999999") + bytes(100_000))
        self.assertEqual(len(self.edge.backends.transports), 3)
        self.assertIn(b"ada-3", self.edge.transport.take())
        self.edge.say(OK)
        self.assertEqual(self.last(answer)["outcome"], "ok")

    def test_own_connection(self) -> None:
        """The call shares its connection with nobody, neither before nor after."""
        self.edge.request(user=1, principal=ADA)
        self.edge.say(b"HTTP/1.1 204 Yes\r\n\r\n")
        kept = self.edge.transport
        self.ask()
        self.assertIsNot(self.edge.transport, kept)
        called = self.edge.transport
        self.edge.say(OK)
        self.assertTrue(called.over)
        self.edge.request(user=1, principal=ADA)
        self.assertIn(b"GET", kept.take())

    def test_proof(self) -> None:
        """Whether the application proved itself is told, where somebody looks for that."""
        for proved, words in (
            (True, "; it proved itself"),
            (False, "; it did not prove itself"),
            (None, "200"),
        ):
            self.mode.proved = proved
            answer = self.ask()
            self.edge.say(OK)
            self.assertTrue(self.last(answer)["detail"].endswith(words))

    def test_answers(self) -> None:
        """An answer that says nothing against the sign-on is a good one; a refusal of the head is not."""
        for status, outcome, cause in (
            (b"302", "ok", ""),
            (b"403", "ok", ""),
            (b"404", "ok", ""),
            (b"400", "failed", "request_refused"),
            (b"431", "failed", "request_refused"),
            (b"503", "failed", "application_error"),
        ):
            answer = self.ask()
            self.edge.say(
                b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\n\r\n"
            )
            step = self.last(answer)
            self.assertEqual((step["outcome"], step["cause"]), (outcome, cause), status)

    def test_not_for_the_user(self) -> None:
        """An answer that fails the sign-on's own check fails the step."""
        answer = self.ask()
        self.edge.say(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        step = self.last(answer)
        self.assertEqual(
            (step["outcome"], step["cause"], step["detail"]), ("failed", "sso_unavailable", "a teapot")
        )

    def test_no_sign_on(self) -> None:
        """A ticket that cannot be had after all fails it, too, and nothing is sent."""
        self.mode.holds = True
        for cause, told, words in (("", "sso_timeout", "kerberos.deadline"), ("tea", "tea", "Drink it.")):
            answer = self.ask()
            self.mode.waiting.pop().errback(SignOnError("no ticket", "sso_timeout", cause))
            self.edge.pump()
            self.assertEqual(self.last(answer)["cause"], told)
            self.assertIn(words, self.last(answer)["advice"])
        self.assertEqual(self.edge.backends.transports, [])

    def test_no_answer(self) -> None:
        """No connection, no answer, an answer that is none: each is told as of a request, with advice."""
        self.edge.backends.hold = True
        answer = self.ask()
        self.edge.backends.refuse(BackendError("backend_refused", "wiki (10.0.0.1): refused"))
        self.edge.pump()
        self.assertEqual(self.last(answer)["cause"], "backend_refused")
        self.assertIn("firewall", self.last(answer)["advice"])
        self.edge.backends.hold = False
        answer = self.ask()
        self.edge.say(b"SMTP ready\r\n")
        self.assertEqual(self.last(answer)["cause"], "backend_protocol")
        answer = self.ask()
        self.edge.lose()
        self.assertEqual(self.last(answer)["detail"], "closed without an answer")
        answer = self.ask()
        self.edge.advance(32)
        self.assertEqual(self.last(answer)["cause"], "backend_timeout")
        self.assertTrue(self.edge.transport.over)

    def test_closed_between(self) -> None:
        """A connection that is closed between two rounds is no failure."""
        answer = self.ask()
        self.edge.say(ASKS)
        self.edge.lose()
        self.assertEqual(len(self.edge.backends.transports), 2)
        self.edge.say(OK)
        self.assertEqual(self.last(answer)["outcome"], "ok")

    def test_nobody_waits(self) -> None:
        """An edge that gives up ends the dial, the sign-on and the call."""
        self.edge.backends.hold = True
        self.ask().open_stream.reset("cancelled")
        self.edge.pump()
        self.assertEqual(self.edge.backends.cancelled, 1)
        self.edge.backends.hold = False
        self.ask().open_stream.reset("cancelled")
        self.edge.pump()
        self.assertTrue(self.edge.transport.over)
        self.mode.holds = True
        self.ask().open_stream.reset("cancelled")
        self.edge.pump()
        self.assertEqual(self.mode.cancelled, self.mode.waiting)

    def test_bug(self) -> None:
        """A bug in the sign-on costs this step, at once."""
        self.mode.holds = True
        answer = self.ask()
        self.mode.waiting.pop().errback(ZeroDivisionError())
        self.edge.pump()
        self.assertEqual(self.last(answer)["cause"], "bug")
        self.assertEqual(failures_of(self, ZeroDivisionError), 1)


class ExplanationTests(SynchronousTestCase):
    """The answer's JSON."""

    @given(st.text(), st.integers(1, 2 * MAXIMUM_STEPS), st.sampled_from([1, 50, 10_000]))
    def test_bounded(self, text: str, count: int, times: int) -> None:
        """However long and strange the texts are, an edge reads the answer."""
        long = text * times
        content = explanation([Step(long, "failed", long, long, long)] * count)
        self.assertLessEqual(len(content), MAXIMUM_ANSWER)
        self.assertEqual(len(json.loads(content)["steps"]), min(count, MAXIMUM_STEPS))

    def test_worst(self) -> None:
        """The texts that grow most in JSON fit, too."""
        for char in "\x00\U0001f600\ud800":
            step = Step(char * 9999, "failed", char * 9999, char * 9999, char * 9999)
            self.assertLessEqual(len(explanation([step] * 99)), MAXIMUM_ANSWER)
