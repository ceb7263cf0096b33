"""Tests of L{appproxy.admin.traces}."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from appproxy.admin.errors import AdminError
from appproxy.admin.traces import Traces
from appproxy.model.application import Connector
from appproxy.model.refusal import Error, Refusal, refusal_of_reason
from appproxy.observe.transaction import Transaction, TransactionIds
from appproxy.store.istore import Put
from appproxy.store.keys import CONNECTORS, encode_document
from tests.admin.support import EdgeTestCase


class TracesTests(EdgeTestCase):
    """What is told of a request."""

    def setUp(self) -> None:
        super().setUp()
        around = self.edge.around
        self.traces = Traces(self.clock, around.recent, around.connectors, around.questions, around.log_place)
        self.result(self.edge.enrol("c1", "dublin", "hq"))
        self.result(self.edge.enrol("c2", "cork", "hq"))
        self.trails = self.edge.connectors_asked.trails
        self.made = Transaction(
            TransactionIds(self.clock.seconds)(),
            self.clock.seconds(),
            "192.0.2.1",
            b"GET",
            b"wiki",
            b"/a?b=secret",
        )
        self.made.application, self.made.connector_group, self.made.connector = "wiki", "hq", "dublin"
        self.made.session = "0123456789abcdef"
        self.made.duration = 0.5

    def show(self) -> Any:
        """What is told of the request."""
        self.edge.recent.keep(self.made)
        return self.result(self.traces.show(self.made.id))

    def lines(self) -> list[tuple[str, float | None, str]]:
        """The timeline."""
        return [(step["where"], step["ms"], step["what"]) for step in self.show()["timeline"]]

    def test_good(self) -> None:
        """A good request has its steps at edge, connector and application, each by its own clock."""
        self.made.status, self.made.first_byte, self.made.bytes_out = 200, 0.25, 7
        steps = {"connected_ms": 10.0, "answered_ms": 200.0, "ended_ms": 400.0}
        self.trails["c1"] = {"application": "wiki", "began": 1.0, "status": 200, **steps}
        self.assertEqual(
            self.lines(),
            [
                ("edge", 0.0, "received from 192.0.2.1"),
                ("edge", None, "judged: forwarded to wiki, group hq"),
                ("edge", None, "stream opened to connector dublin"),
                ("connector dublin", 0.0, "request came"),
                ("connector dublin", 10.0, "new connection to the application"),
                ("application", 200.0, "answered 200"),
                ("connector dublin", 400.0, "answer complete"),
                ("edge", 250.0, "answer began: 200"),
                ("edge", 500.0, "answer complete: 200, 7 bytes"),
            ],
        )

    def test_secrets(self) -> None:
        """Neither query strings nor whole session ids are told."""
        told = json.dumps(self.show())
        self.assertNotIn("secret", told)
        self.assertNotIn("89abcdef", told)
        self.assertIn("01234567", told)

    def test_retry(self) -> None:
        """Each attempt is told with its connector and why it was given up; connectors in order."""
        self.made.attempt_failed(self.made.started + 0.1, "backend_refused", "wiki:80: refused")
        self.made.connector, self.made.retries = "cork", 1
        self.made.attempt_failed(self.made.started + 0.2, "backend_name", "wiki has no address")
        self.made.refused(refusal_of_reason("backend_name"))
        self.trails["c2"] = {"began": 2.0, "reason": "backend_name", "detail": "there", "ended_ms": 5.0}
        self.trails["c1"] = {"began": 1.0, "reason": "backend_refused", "detail": "here", "ended_ms": 5.0}
        lines = self.lines()
        self.assertEqual(
            lines[2:6],
            [
                ("edge", None, "stream opened to connector dublin"),
                ("edge", 100.0, "given up there: backend_refused: wiki:80: refused"),
                ("edge", 100.0, "tried again to connector cork"),
                ("edge", 200.0, "given up there: backend_name: wiki has no address"),
            ],
        )
        self.assertEqual(
            [where for where, _, _ in lines[6:10]], ["connector dublin"] * 2 + ["connector cork"] * 2
        )
        told = self.show()
        self.assertEqual((told["reason"], told["detail"]), ("backend_name", "wiki has no address"))
        self.assertIn("DNS", told["meaning"])

    def test_retry_that_went_well(self) -> None:
        """So is one after which the request was answered."""
        self.made.attempt_failed(self.made.started + 0.1, "draining", "")
        self.made.connector, self.made.retries, self.made.status = "cork", 1, 200
        self.assertIn(("edge", 100.0, "tried again to connector cork"), self.lines())
        self.assertEqual(self.show()["meaning"], None)

    def test_relay(self) -> None:
        """Where a relay chose the connector, the relay is named."""
        relay = Connector(name="relay-dmz", role="relay")
        value = encode_document(relay.model_dump(mode="json"))
        self.successResultOf(self.store.transact(puts=[Put(CONNECTORS + "r1", value)]))
        self.made.connector = self.made.relay = "r1"
        self.assertIn(("edge", None, "stream opened through relay relay-dmz"), self.lines())

    def test_relay_names_connector(self) -> None:
        """Both are named once the relay has said which connector it was, of each attempt."""
        self.made.relay, self.made.connector = "r1", "cork"
        self.made.attempt_failed(self.made.started + 0.1, "draining", "")
        self.made.relay, self.made.retries = "r2", 1
        through = [what for _, _, what in self.lines() if "relay" in what]
        self.assertEqual(
            through,
            [
                "stream opened through relay r1 to connector cork",
                "tried again through relay r2 to connector cork",
            ],
        )

    def test_connector_away(self) -> None:
        """A connector that cannot be asked is named, if no other one knows the request."""
        self.trails["c1"] = {"reason": "no_connector", "detail": "it has no tunnel"}
        self.assertIn(
            ("connector dublin", None, "cannot be asked: no_connector: it has no tunnel"), self.lines()
        )

    def test_refused_here(self) -> None:
        """What the edge itself refused has the refusal, and what to do; nobody is asked."""
        self.made.connector = self.made.connector_group = ""
        self.made.refused(Refusal(Error.Forbidden, "not_assigned"))
        self.trails["c1"] = {"began": 1.0}
        told = self.show()
        where = [step["where"] for step in told["timeline"]]
        self.assertEqual(set(where), {"edge"})
        self.assertEqual((told["error"], told["reason"]), ("Forbidden", "not_assigned"))
        self.assertIn("users and groups", told["meaning"])

    def test_of_the_application(self) -> None:
        """An error that the application answered is told from ours."""
        self.made.status = 502
        told = self.show()
        self.assertEqual((told["error"], told["reason"]), (None, None))
        self.assertIn("application itself", told["meaning"])

    def test_broken_off(self) -> None:
        """An answer that was not complete says after how much."""
        self.made.status, self.made.bytes_out = 200, 70
        self.made.attempt_failed(self.made.started + 0.1, "tunnel_lost", "")
        self.made.reason = "tunnel_lost"
        self.assertEqual(self.lines()[-1], ("edge", 500.0, "broken off: tunnel_lost, after 70 bytes"))

    def test_unknown(self) -> None:
        """An id that is not here says from when it is, and where it may be found."""
        for when, why in (
            (-100.0, "before this edge was started"),
            (0.0, "under way"),
            (100.0, "yet to come"),
        ):
            id_ = TransactionIds(self.clock.seconds).at(self.clock.seconds() + when)
            error = self.failureResultOf(Deferred.fromCoroutine(self.traces.show(id_)), AdminError).value
            self.assertEqual(error.code, "not_found")
            self.assertIn(why, error.message)
            self.assertIn("the access log is edge.log", error.message)

    def test_no_id(self) -> None:
        """What is no transaction id is said to be none."""
        for text in ("", "x", "8" * 26, "U" * 26):
            error = self.failureResultOf(Deferred.fromCoroutine(self.traces.show(text)), AdminError).value
            self.assertEqual(error.code, "bad_request")
