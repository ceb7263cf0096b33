"""Tests of plan, apply and export over a real store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from appproxy.admin.changes import ApplyRequest, Changes, PlanRequest, SentFile
from appproxy.admin.errors import AdminError
from appproxy.admin.live import LONGEST_WAIT_SECONDS, LiveWatch
from tests.admin.support import ADA, EdgeTestCase, at_once
from tests.catalog.examples import APPLICATIONS, read


class ChangesTestCase(EdgeTestCase):
    """Files are sent, as the command sends them."""

    def setUp(self) -> None:
        """Make the handler."""
        super().setUp()
        around = self.edge.around
        live = LiveWatch(self.clock, around.feed, around.source)
        self.changes = Changes(self.store, live, around.own_hosts, at_once)

    def plan(self, text: str = APPLICATIONS, prune: bool = False) -> Mapping[str, Any]:
        """Ask for a plan."""
        request = PlanRequest(files=(SentFile(name="apps.toml", text=text),), prune=prune)
        answer: Mapping[str, Any] = self.result(self.changes.plan(request))
        return answer

    def apply(self, revision: int, text: str = APPLICATIONS, prune: bool = False) -> Deferred[Any]:
        """Have a plan's changes made."""
        file = SentFile(name="apps.toml", text=text)
        request = ApplyRequest(files=(file,), prune=prune, revision=revision)
        return Deferred.fromCoroutine(self.changes.apply(request, ADA))


class PlanTests(ChangesTestCase):
    """What would change is told, and nothing changes."""

    def test_plan(self) -> None:
        """The changes are told with the revision they are good for; the store stays as it is."""
        answer = self.plan()
        self.assertEqual([change["id"] for change in answer["changes"]], ["hq", "caldav", "wiki"])
        self.assertEqual(self.plan()["revision"], answer["revision"])
        self.assertEqual(dict(self.edge.feed.current.applications), {})

    def test_problems(self) -> None:
        """Every problem of a file comes back, with its place."""
        request = PlanRequest(files=(SentFile(name="a.toml", text="format = 2\ncolour = 1\n"),))
        failure = self.failureResultOf(Deferred.fromCoroutine(self.changes.plan(request)), AdminError)
        error = failure.value.as_dict()
        self.assertEqual((failure.value.status, error["error"]), (422, "problems"))
        self.assertEqual([problem["line"] for problem in error["problems"]], [1, 2])

    def test_beside_what_is_there(self) -> None:
        """A partial file is checked together with the catalog; when pruning, by itself."""
        self.successResultOf(self.apply(self.plan()["revision"]))
        partial = APPLICATIONS.replace('[connector_groups.hq]\nname = "Headquarters"\n', "")
        self.assertEqual(self.plan(partial)["changes"], [])
        request = PlanRequest(files=(SentFile(name="a.toml", text=partial),), prune=True)
        self.failureResultOf(Deferred.fromCoroutine(self.changes.plan(request)), AdminError)

    def test_hosts_of_the_edge(self) -> None:
        """An application cannot take the sign-in host."""
        text = APPLICATIONS.replace("wiki.apps.example.com", "auth.apps.example.com")
        request = PlanRequest(files=(SentFile(name="a.toml", text=text),))
        failure = self.failureResultOf(Deferred.fromCoroutine(self.changes.plan(request)), AdminError)
        self.assertIn("a host of the edge itself", str(failure.value.details))


class ApplyTests(ChangesTestCase):
    """All changes are made, or none, and it is told when they are live."""

    def test_applied(self) -> None:
        """After the answer the edge routes by the new catalog, and a second plan is empty."""
        answer = self.successResultOf(self.apply(self.plan()["revision"]))
        self.assertTrue(answer["live"])
        self.assertEqual(self.edge.feed.current.revision, answer["revision"])
        self.assertEqual(dict(self.edge.feed.current.applications), read().applications)
        self.assertEqual(self.plan(prune=True)["changes"], [])

    def test_changed_meanwhile(self) -> None:
        """A plan that another one overtook is refused whole."""
        revision = self.plan()["revision"]
        self.successResultOf(self.apply(revision, 'format = 1\n[connector_groups.x]\nname = "X"\n'))
        failure = self.failureResultOf(self.apply(revision), AdminError)
        self.assertEqual((failure.value.status, failure.value.code), (409, "changed"))
        self.assertEqual(set(self.edge.feed.current.groups), {"x"})

    def test_prune(self) -> None:
        """Only with prune is removed what the file does not name."""
        self.successResultOf(self.apply(self.plan()["revision"]))
        self.successResultOf(self.apply(self.plan("format = 1")["revision"], "format = 1"))
        self.assertEqual(len(self.edge.feed.current.applications), 2)
        self.successResultOf(self.apply(self.plan("format = 1")["revision"], "format = 1", prune=True))
        self.assertEqual(len(self.edge.feed.current.applications), 0)

    def test_nothing_to_do(self) -> None:
        """Applying the same again changes nothing and waits for nobody."""
        self.successResultOf(self.apply(self.plan()["revision"]))
        self.edge.tunnels.connect("c1", "hq")
        answer = self.successResultOf(self.apply(self.plan()["revision"]))
        self.assertEqual((answer["changes"], answer["live"]), ([], True))

    def test_waits_for_connectors(self) -> None:
        """The answer comes when the last connector has the change, with the time that it took."""
        self.edge.tunnels.connect("c1", "hq")
        self.edge.tunnels.connect("c2", "hq")
        applying = self.apply(self.plan()["revision"])
        revision = self.edge.feed.current.revision
        self.edge.tunnels.apply("c1", revision)
        self.clock.advance(1.25)
        self.assertNoResult(applying)
        self.edge.tunnels.apply("c2", revision)
        answer = self.successResultOf(applying)
        self.assertEqual((answer["live"], answer["live_seconds"], answer["connectors"]), (True, 1.25, 2))

    def test_slow_connector(self) -> None:
        """A connector that does not follow is named after a while; the change is made all the same."""
        self.edge.tunnels.connect("c1", "hq")
        applying = self.apply(self.plan()["revision"])
        self.clock.advance(LONGEST_WAIT_SECONDS)
        answer = self.successResultOf(applying)
        self.assertEqual((answer["live"], answer["behind"]), (False, ["c1"]))

    def test_audit(self) -> None:
        """Each object that was changed has its line: who, what, revision, hashes."""
        with capturedLogs() as events:
            answer = self.successResultOf(self.apply(self.plan()["revision"]))
        lines = [event for event in events if event.get("event") == "audit"]
        self.assertEqual(lines[0]["object"], "connector-groups/hq")
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertEqual((line["actor"], line["actor_uid"], line["action"]), ("ada", 1000, "create"))
            self.assertEqual((line["revision"], line["before_hash"]), (answer["revision"], ""))
            self.assertEqual(len(line["after_hash"]), 64)

    def test_export(self) -> None:
        """What was applied is exported, and read back as the same."""
        self.successResultOf(self.apply(self.plan()["revision"]))
        self.assertEqual(read(self.result(self.changes.export())["text"]), read())
