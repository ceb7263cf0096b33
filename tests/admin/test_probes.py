"""Tests of L{appproxy.admin.probes}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from appproxy.admin import probes
from appproxy.admin.errors import AdminError
from appproxy.admin.probes import Pair, ProbeRequest, Probes
from appproxy.admin.questions import ProbeOutcome
from appproxy.catalog.documents import encode, key_of
from appproxy.store.istore import Put
from tests.admin.support import ADA, EdgeTestCase
from tests.catalog.examples import read


class ProbesTests(EdgeTestCase):
    """Each application through each connector of its group."""

    def setUp(self) -> None:
        super().setUp()
        around = self.edge.around
        self.asked = self.edge.connectors_asked
        self.probes = Probes(self.clock, around.feed, around.connectors, self.asked)
        self.publish("wiki", "mail")
        for id_, name, group in (("c1", "dublin", "hq"), ("c2", "cork", "hq"), ("c3", "oslo", "lab")):
            self.result(self.edge.enrol(id_, name, group))

    def publish(self, *names: str) -> None:
        """Put applications of the group hq into the store."""
        puts = [Put(key_of("connector_group", "hq"), encode(read().groups["hq"]))]
        some = read().applications["wiki"]
        puts += [Put(key_of("application", name), encode(some)) for name in names]
        self.successResultOf(self.store.transact(puts=puts))

    def probe(self, **request: Any) -> Any:
        """What one call says."""
        return self.result(self.probes.probe(ProbeRequest(**request), ADA))

    def test_every_pair(self) -> None:
        """Every connector of the group is asked for every application, at the catalog's revision."""
        told = self.probe()
        pairs = [(each["application"], each["name"]) for each in told["probes"]]
        self.assertEqual(pairs, [("mail", "dublin"), ("mail", "cork"), ("wiki", "dublin"), ("wiki", "cork")])
        self.assertEqual({revision for _, _, revision in self.asked.probed}, {told["revision"]})
        self.assertIsNone(told["next"])
        first = told["probes"][0]
        self.assertEqual((first["reachable"], first["status"], first["answer_ms"]), (True, 200, 20.0))
        self.assertIsNone(first["advice"])

    def test_failure(self) -> None:
        """A failure has the connector's words and advice."""
        self.asked.outcomes["c1", "wiki"] = ProbeOutcome("x", reason="backend_name", detail="no address")
        (row,) = [each for each in self.probe()["probes"] if not each["reachable"]]
        self.assertEqual((row["reason"], row["detail"], row["status"]), ("backend_name", "no address", None))
        self.assertIn("DNS", row["advice"])

    def test_no_connector(self) -> None:
        """An application whose group has no connector is told, without asking anybody."""
        for id_ in ("c1", "c2"):
            self.result(self.edge.enrol(id_, id_, "lab"))
        (row,) = self.probe(applications=("wiki",))["probes"]
        self.assertEqual((row["reason"], row["reachable"]), ("no_connector", False))
        self.assertEqual(self.asked.probed, [])

    def test_some(self) -> None:
        """Only what was named is probed; a name that there is not is refused."""
        told = self.probe(applications=("wiki",))["probes"]
        self.assertEqual({each["application"] for each in told}, {"wiki"})
        error = self.failureResultOf(
            Deferred.fromCoroutine(self.probes.probe(ProbeRequest(applications=("wikki",)), ADA)), AdminError
        )
        self.assertEqual(error.value.code, "not_found")

    def test_at_once(self) -> None:
        """So many probes are under way at once, and no more."""
        self.asked.hold = True
        self.publish(*(f"a{number}" for number in range(20)))
        answer = Deferred.fromCoroutine(self.probes.probe(ProbeRequest(), ADA))
        self.assertEqual(len(self.asked.held), probes.AT_ONCE)
        while self.asked.held:
            self.assertLessEqual(len(self.asked.held), probes.AT_ONCE)
            self.asked.release()
        told: Any = self.successResultOf(answer)
        self.assertEqual(len(told["probes"]), 44)

    def test_paging(self) -> None:
        """What one call cannot take the next one goes on with; each pair is probed once."""
        self.patch(probes, "MAXIMUM_PROBES", 3)
        first = self.probe()
        self.assertEqual((len(first["probes"]), first["next"]), (3, ["wiki", "c1"]))
        second = self.probe(after=Pair(*first["next"]))
        self.assertEqual([each["name"] for each in second["probes"]], ["cork"])
        self.assertIsNone(second["next"])

    def test_deadline(self) -> None:
        """After its time a call begins no other probe, and what it has is told."""
        self.patch(probes, "AT_ONCE", 1)
        self.asked.hold = True
        answer = Deferred.fromCoroutine(self.probes.probe(ProbeRequest(), ADA))
        self.clock.advance(probes.CALL_SECONDS)
        self.asked.release()
        told: Any = self.successResultOf(answer)
        self.assertEqual((len(told["probes"]), told["next"]), (1, ["mail", "c1"]))

    def test_log(self) -> None:
        """A probe is logged as one, with who asked for it; it is nobody's request."""
        with capturedLogs() as events:
            self.probe(applications=("wiki",))
        logged = [event for event in events if event.get("event") == "probe"]
        self.assertEqual({event["actor"] for event in logged}, {"ada"})
        self.assertEqual(len(logged), 2)
        self.assertEqual(list(self.edge.recent), [])
