"""L{appproxy.edge.questions}: what connectors are asked for an administrator."""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.admin.questions import ExplainOutcome
from appproxy.edge.questions import TunnelQuestions
from appproxy.edge.tunnels import Tunnels
from appproxy.httpwire.heads import NO_BODY
from appproxy.httpwire.wire_heads import pack_response, unpack_request
from appproxy.model.principal import Principal
from appproxy.tunnel.questions import principal_of
from tests.edge.test_explained import STEP
from tests.relay.support import TRANSACTION, Rig, stream_of

ASKED = Principal("appproxy:explain", "", "", "ada@example.com")


class ExplainTests(SynchronousTestCase):
    """A sign-on, tried by a connector behind a relay of its own."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.rig.enrol("hq", "main")
        edge = self.rig.edge()
        self.connector = self.rig.connector("hq").end
        tunnels = cast(Tunnels, edge.dialers)
        self.questions = TunnelQuestions(self.rig.clock, tunnels, lambda: TRANSACTION)

    def explain(self) -> Deferred[ExplainOutcome]:
        """Ask, and let the question arrive."""
        outcome = self.questions.explain("hq", "wiki", 1, ASKED)
        self.rig.run()
        return outcome

    def answered(self, status: int, content: bytes = b"") -> ExplainOutcome:
        """What comes of this answer."""
        outcome = self.explain()
        stream = stream_of(self.connector.seen()[2])
        stream.head(pack_response(status, len(content) if content else NO_BODY, []))
        if content:
            stream.write(content)
        stream.end()
        self.rig.run()
        return self.successResultOf(outcome)

    def refused(self, reason: str, detail: str) -> str:
        """Why nothing was tried."""
        outcome = self.explain()
        stream_of(self.connector.seen()[2]).reset(reason, detail)
        self.rig.run()
        return self.successResultOf(outcome).reason

    def test_asked(self) -> None:
        """The user goes in the question, as nobody's request; the steps come back."""
        outcome = self.answered(200, json.dumps({"steps": [STEP]}).encode())
        message, user, _ = self.connector.seen()
        method, _target, headers = unpack_request(message.head)
        self.assertEqual((method, principal_of(headers), user), (b"EXPLAIN", ASKED, None))
        self.assertEqual((message.ask, message.deadline_ms), (True, 30_000))
        self.assertEqual(outcome, ExplainOutcome(TRANSACTION, [STEP]))

    def test_no_steps(self) -> None:
        """A sign-on without steps is not one that failed."""
        self.assertEqual(self.answered(404).reason, "no_steps")

    def test_no_answer(self) -> None:
        """What a connector does not answer is not made up."""
        for status, content in ((200, b"{}"), (200, b""), (500, json.dumps({"steps": [STEP]}).encode())):
            self.assertEqual(self.answered(status, content).reason, "tunnel_lost")

    def test_older_connector(self) -> None:
        """One that does not know the question is told from one with a bug."""
        self.assertEqual(self.refused("bug", "a question that this connector does not know"), "no_questions")
        self.assertEqual(self.refused("bug", ""), "bug")
        self.assertEqual(self.refused("busy", "4 others wait already"), "busy")

    def test_silent(self) -> None:
        """A connector that says nothing is waited for a little longer than it may take."""
        outcome = self.explain()
        self.rig.pass_time(34)
        self.assertEqual(self.successResultOf(outcome).reason, "connector_timeout")

    def test_not_waited_for(self) -> None:
        """A question that nobody waits for ends at the connector, too."""
        outcome: Deferred[Any] = self.explain()
        outcome.addErrback(lambda _: None)
        outcome.cancel()
        self.rig.run()
        self.assertIn(("reset", "cancelled"), self.connector.seen()[2].calls)
