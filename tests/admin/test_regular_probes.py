"""Tests of L{appproxy.admin.regular_probes}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.logger import LogLevel, capturedLogs

from appproxy.admin import regular_probes
from appproxy.admin.questions import ProbeOutcome
from appproxy.admin.regular_probes import RegularProbes
from appproxy.catalog.documents import encode, key_of
from appproxy.store.istore import Put
from tests.admin.support import EdgeTestCase
from tests.catalog.examples import read

INTERVAL = 60.0
SILENT = ProbeOutcome("P" * 26, reason="backend_timeout", detail="no answer within 5 s")


class RegularProbesTests(EdgeTestCase):
    """Two applications of a group with two connectors, and a connector of another group."""

    def setUp(self) -> None:
        super().setUp()
        around = self.edge.around
        self.asked = self.edge.connectors_asked
        self.probes = RegularProbes(
            self.clock, around.feed, around.connectors, self.asked, INTERVAL, lambda: 0.5
        )
        self.publish("mail", "wiki")
        for id_, name, group in (("c1", "dublin", "hq"), ("c2", "cork", "hq"), ("c3", "oslo", "lab")):
            self.result(self.edge.enrol(id_, name, group))
        self.timers = len(self.clock.getDelayedCalls())
        self.probes.start()
        self.addCleanup(self.probes.stop)

    def publish(self, *names: str) -> None:
        """Put applications of the group hq into the store."""
        puts = [Put(key_of("connector_group", "hq"), encode(read().groups["hq"]))]
        some = read().applications["wiki"]
        puts += [Put(key_of("application", name), encode(some)) for name in names]
        self.successResultOf(self.store.transact(puts=puts))

    def advance(self, seconds: float) -> list[Any]:
        """Time passes; what the log says of changes meanwhile."""
        with capturedLogs() as logs:
            for _ in range(round(seconds)):
                self.clock.advance(1)
        return [each for each in logs if each.get("event") == "probe_changed"]

    def test_evenly(self) -> None:
        """After the jitter each pair is asked once in an interval, and never two at a time."""
        counts = []
        self.advance(29)
        for _ in range(9):
            self.advance(15)
            counts.append(len(self.asked.probed))
        self.assertEqual(counts, list(range(1, 10)))
        pairs = [each[:2] for each in self.asked.probed]
        self.assertEqual(pairs[:4], [("c1", "mail"), ("c2", "mail"), ("c1", "wiki"), ("c2", "wiki")])
        self.assertEqual(pairs[4:8], pairs[:4])

    def test_up(self) -> None:
        """What answered is up, whatever it answered; what did not is not."""
        self.asked.outcomes["c1", "wiki"] = SILENT
        self.asked.outcomes["c2", "wiki"] = ProbeOutcome("P" * 26, 503)
        self.assertEqual(self.probes.up(), {})
        self.advance(90)
        self.assertEqual(
            self.probes.up(),
            {("mail", "cork"): 1, ("mail", "dublin"): 1, ("wiki", "cork"): 1, ("wiki", "dublin"): 0},
        )

    def test_same_name(self) -> None:
        """Connectors that share a name are called by their ids."""
        self.result(self.edge.enrol("c2", "dublin", "hq"))
        self.advance(90)
        self.assertEqual({connector for _, connector in self.probes.up()}, {"c1", "c2"})

    def test_not_asked(self) -> None:
        """Where a connector cannot be asked, nothing is said of the application."""
        self.advance(90)
        for reason in ("no_connector", "no_questions", "connector_timeout"):
            self.asked.outcomes["c1", "wiki"] = ProbeOutcome("P" * 26, reason=reason)
            self.assertEqual(self.advance(60), [])
            self.assertNotIn(("wiki", "dublin"), self.probes.up())

    def test_changes_are_told(self) -> None:
        """The log tells when an application stops to answer and when it does again, not what goes on."""
        self.assertEqual(self.advance(90), [])
        self.asked.outcomes["c1", "wiki"] = SILENT
        (line,) = self.advance(120)
        self.assertEqual((line["log_level"], line["fault"]), (LogLevel.warn, "operator"))
        self.assertEqual(
            [line[name] for name in ("application", "connector", "connector_group", "outcome", "detail")],
            ["wiki", "dublin", "hq", "backend_timeout", "no answer within 5 s"],
        )
        del self.asked.outcomes["c1", "wiki"]
        (line,) = self.advance(120)
        self.assertEqual((line["log_level"], line["outcome"]), (LogLevel.info, 200))

    def test_what_is_gone(self) -> None:
        """An application that is published no more, and a connector that is deleted, are forgotten."""
        self.advance(90)
        self.successResultOf(self.store.transact(deletes=[key_of("application", "mail")]))
        self.result(self.edge.enrol("c2", "cork", "lab"))
        self.advance(120)
        self.assertEqual(set(self.probes.up()), {("wiki", "dublin")})

    def test_nothing_to_probe(self) -> None:
        """Without applications it waits for some."""
        self.successResultOf(
            self.store.transact(deletes=[key_of("application", "mail"), key_of("application", "wiki")])
        )
        self.advance(200)
        self.publish("wiki")
        self.advance(120)
        self.assertEqual(set(self.probes.up()), {("wiki", "cork"), ("wiki", "dublin")})

    def test_bound(self) -> None:
        """Silent applications hold up so many probes and no more; the others have their turn later."""
        self.patch(regular_probes, "AT_ONCE", 3)
        self.asked.hold = True
        self.advance(300)
        self.assertEqual(len(self.asked.held), 3)
        for _ in range(8):
            self.asked.release()
            self.advance(15)
            self.assertLessEqual(len(self.asked.held), 3)
        self.assertEqual(len(self.probes.up()), 4)

    def test_stop(self) -> None:
        """Once stopped nothing is asked, and what is under way is let go."""
        self.asked.hold = True
        self.advance(90)
        self.probes.stop()
        self.assertEqual(len(self.clock.getDelayedCalls()), self.timers)
        before = len(self.asked.probed)
        self.advance(200)
        self.assertEqual(len(self.asked.probed), before)

    def test_bug(self) -> None:
        """A mistake of ours in one probe is in the log, and the others go on."""
        probe = self.asked.probe

        def broken(connector: str, application: str, revision: int) -> Any:
            return fail(ZeroDivisionError()) if application == "mail" else probe(connector, application, 0)

        self.patch(self.asked, "probe", broken)
        self.advance(89)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(set(self.probes.up()), {("wiki", "cork"), ("wiki", "dublin")})
