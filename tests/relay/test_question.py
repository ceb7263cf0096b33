"""L{appproxy.relay.question}: questions to connectors behind a relay of its own."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import NO_BODY
from appproxy.httpwire.wire_heads import pack_response
from appproxy.relay.question import MAXIMUM_ANSWER, Answer, QuestionFailed, ask, asked_connector, question
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.settings import TunnelSettings
from tests.relay.support import TRANSACTION, Rig, stream_of


class QuestionTests(SynchronousTestCase):
    """An edge asks connectors through a relay."""

    def setUp(self) -> None:
        self.rig = Rig()
        for name, group in (("hq", "main"), ("hq-2", "main"), ("lab", "lab")):
            self.rig.enrol(name, group)
        self.edge = self.rig.edge()

    def ask(self, connector: str = "hq-2", application: str = "wiki") -> Deferred[Answer]:
        """Ask, and let the question arrive."""
        message = question(b"PROBE", "/", connector, application, 1, TRANSACTION, 5.0)
        answer = ask(self.rig.clock, self.edge.dialers.link_to(connector), message)
        self.rig.run()
        return answer

    def reason(self, answer: Deferred[Answer]) -> str:
        """Why there is no answer."""
        failure = self.failureResultOf(answer, QuestionFailed)
        return str(failure.value.reason)

    def test_the_one_that_is_asked(self) -> None:
        """The question goes to the connector that is named, as nobody's, and its answer comes back whole."""
        self.rig.connector("hq")
        asked = self.rig.connector("hq-2").end
        answer = self.ask()
        message, user, handler = asked.seen()
        self.assertEqual((message.ask, user, message.deadline_ms), (True, None, 5000))
        self.assertEqual(asked_connector(message.head), "hq-2")
        stream = stream_of(handler)
        stream.head(pack_response(200, 2, blocks_of([field(b"AppProxy-Connect-Ms", b"1.5")])))
        stream.write(b"hi")
        stream.end()
        self.rig.run()
        expected = Answer(200, {b"appproxy-connect-ms": b"1.5"}, b"hi")
        self.assertEqual(self.successResultOf(answer), expected)

    def test_refused(self) -> None:
        """A refusal comes with the connector's words."""
        asked = self.rig.connector("hq-2").end
        answer = self.ask()
        stream_of(asked.seen()[2]).reset("backend_refused", "wiki.corp.example: refused")
        self.rig.run()
        problem = self.failureResultOf(answer, QuestionFailed).value
        self.assertEqual(problem.args, ("backend_refused", "wiki.corp.example: refused"))

    def test_away(self) -> None:
        """A connector without a tunnel cannot be asked."""
        self.assertEqual(self.reason(self.ask()), "no_connector")

    def test_other_group(self) -> None:
        """Nor is one asked about what its group does not serve, whatever an edge says."""
        lab = self.rig.connector("lab").end
        self.assertEqual(self.reason(self.ask("lab", "wiki")), "no_connector")
        self.assertEqual(lab.messages, [])

    def test_old_connector(self) -> None:
        """One of a version that would take the question for a request is not asked."""
        old = self.rig.connector("hq-2", settings=TunnelSettings(features=())).end
        self.assertEqual(self.reason(self.ask()), "no_questions")
        self.assertEqual(old.messages, [])

    def test_silent(self) -> None:
        """A connector that says nothing is waited for, but not for ever; its stream goes."""
        asked = self.rig.connector("hq-2").end
        answer = self.ask()
        self.rig.pass_time(9)
        self.assertEqual(self.reason(answer), "connector_timeout")
        self.assertIn(("reset", "cancelled"), asked.seen()[2].calls)

    def test_too_much(self) -> None:
        """An answer without end, or none that can be read, costs a bounded amount of memory."""
        asked = self.rig.connector("hq-2").end
        answer = self.ask()
        stream = stream_of(asked.seen()[2])
        stream.head(pack_response(200, -1, []))
        stream.write(bytes(MAXIMUM_ANSWER // 2 + 1))
        stream.write(bytes(MAXIMUM_ANSWER // 2 + 1))
        self.rig.run()
        self.assertEqual(self.reason(answer), "tunnel_lost")
        answer = self.ask()
        stream_of(asked.seen()[2]).head(b"nonsense")
        self.rig.run()
        self.assertEqual(self.reason(answer), "tunnel_lost")

    def test_unreadable_head(self) -> None:
        """A head that is none names no connector."""
        self.assertEqual(asked_connector(b"nonsense"), "")
        message = OpenMessage(1, TRANSACTION, "wiki", 1, 0, bytes(8), NO_BODY, False, b"PROBE /", ask=True)
        self.rig.connector("hq-2")
        answer = ask(self.rig.clock, self.edge.dialers.link_to("hq-2"), message)
        self.rig.run()
        self.assertEqual(self.reason(answer), "no_connector")
