"""Tests of listing, showing and deleting over a real store."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from appproxy.admin.authorities import Authorities
from appproxy.admin.errors import AdminError
from appproxy.admin.live import LiveWatch
from appproxy.admin.objects import (
    CatalogObjects,
    CertificateObjects,
    ConnectorObjects,
    Objects,
    find,
)
from appproxy.catalog.documents import encode, key_of
from appproxy.store.istore import Put
from appproxy.store.keys import CONNECTORS
from tests.admin.support import ADA, EdgeTestCase
from tests.catalog.examples import read


class ObjectsTestCase(EdgeTestCase):
    """Objects in a store."""

    def refused(self, coroutine: Any) -> AdminError:
        """Why it is not done."""
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), AdminError)
        assert isinstance(failure.value, AdminError)
        return failure.value

    def put(self, key: str, value: bytes) -> None:
        """Write one document."""
        self.successResultOf(self.store.transact(puts=[Put(key, value)]))


class CatalogObjectsTests(ObjectsTestCase):
    """Applications and connector groups."""

    def setUp(self) -> None:
        """The example's catalog."""
        super().setUp()
        for key, application in read().applications.items():
            self.put(key_of("application", key), encode(application))
        self.put(key_of("connector_group", "hq"), encode(read().groups["hq"]))
        live = LiveWatch(self.clock, self.edge.feed, self.edge.tunnels)
        self.applications: Objects = CatalogObjects("application", self.store, live)
        self.groups: Objects = CatalogObjects("connector_group", self.store, live)

    def test_list(self) -> None:
        """All are listed by id, with what tells them apart."""
        rows = self.result(self.applications.list_all())
        self.assertEqual([row["id"] for row in rows], ["caldav", "wiki"])
        self.assertEqual(rows[1]["external_url"], "https://wiki.apps.example.com/")

    def test_show(self) -> None:
        """One is shown with every setting, found by id or by name."""
        by_id = self.result(self.applications.show("wiki"))
        self.assertEqual(by_id, self.result(self.applications.show("team wiki")))
        self.assertEqual((by_id["backend_timeout"], by_id["sso"]["mode"]), ("85s", "headers"))

    def test_unknown(self) -> None:
        """What is not there is told, with what may have been meant."""
        error = self.refused(self.applications.show("wikki"))
        self.assertEqual((error.status, error.code), (404, "not_found"))
        self.assertIn('did you mean "wiki"?', error.message)

    def test_delete(self) -> None:
        """A deleted application is routed no more when the answer comes, and who did it is written down."""
        with capturedLogs() as events:
            answer = self.result(self.applications.delete("wiki", ADA))
        self.assertEqual((answer["id"], answer["live"]), ("wiki", True))
        self.assertIsNone(self.edge.feed.current.route(b"wiki.apps.example.com", "/"))
        [line] = [event for event in events if event.get("event") == "audit"]
        self.assertEqual((line["object"], line["action"]), ("applications/wiki", "delete"))

    def test_group_in_use(self) -> None:
        """A group that applications or connectors need stays."""
        self.result(self.edge.enrol("c1", "dublin", "hq"))
        error = self.refused(self.groups.delete("hq", ADA))
        self.assertEqual(error.status, 409)
        self.assertIn("application caldav, application wiki, connector dublin", error.message)
        for application in ("wiki", "caldav"):
            self.result(self.applications.delete(application, ADA))
        self.refused(self.groups.delete("hq", ADA))
        self.successResultOf(self.store.transact(deletes=[f"{CONNECTORS}c1"]))
        self.result(self.groups.delete("hq", ADA))
        self.assertEqual(self.result(self.groups.list_all()), [])


class ConnectorObjectsTests(ObjectsTestCase):
    """Who enrolled."""

    def setUp(self) -> None:
        """Two connectors, one of them with a tunnel."""
        super().setUp()
        self.result(self.edge.enrol("c1", "dublin", "hq"))
        self.result(self.edge.enrol("c2", "paris", "hq"))
        self.edge.tunnels.connect("c2", "hq")
        authority = self.edge.around.authority
        self.connectors = ConnectorObjects(self.store, self.edge.tunnels, authority)

    def test_list(self) -> None:
        """All are listed, with the number of their tunnels."""
        rows = self.result(self.connectors.list_all())
        self.assertEqual([(row["name"], row["tunnels"]) for row in rows], [("dublin", 0), ("paris", 1)])

    def test_show(self) -> None:
        """One is shown with its tunnels."""
        self.assertEqual(self.result(self.connectors.show("c2"))["tunnels"][0]["connector"], "c2")

    def test_delete(self) -> None:
        """A deleted connector is in the registry no more, so nobody trusts it."""
        self.assertEqual(self.result(self.connectors.delete("dublin", ADA))["id"], "c1")
        self.assertEqual(set(self.edge.connectors.current), {"c2"})

    def test_revoke(self) -> None:
        """
        A revoked connector stays listed, with since when nobody trusts it; how many tunnels it had is told.

        Security row 36.
        """
        told = self.result(self.connectors.revoke("paris", ADA))
        self.assertEqual(told, {"id": "c2", "name": "paris", "tunnels": 1})
        rows = {row["id"]: row["revoked_at"] for row in self.result(self.connectors.list_all())}
        self.assertTrue(rows["c2"])
        self.assertFalse(rows["c1"])
        self.assertTrue(self.edge.connectors.current["c2"].revoked_at)
        self.refused(self.connectors.revoke("nobody", ADA))

    def test_drain(self) -> None:
        """
        A drained connector stays listed, with since when; what it has under way is told, and how many others
        serve. Twice is once; undone, it is as before.
        """
        told = self.result(self.connectors.drain("paris", ADA))
        self.assertEqual((told["id"], told["streams"], bool(told["drained_at"])), ("c2", 0, True))
        again = self.result(self.connectors.drain("paris", ADA))
        self.assertEqual(again["drained_at"], told["drained_at"])
        rows = {row["id"]: row["drained_at"] for row in self.result(self.connectors.list_all())}
        self.assertEqual((rows["c2"], rows["c1"]), (told["drained_at"], ""))
        undone = self.result(self.connectors.drain("paris", ADA, undo=True))
        self.assertEqual(undone["drained_at"], "")
        self.assertEqual(self.edge.connectors.current["c2"].drained_at, "")
        self.refused(self.connectors.drain("nobody", ADA))

    def test_rotation(self) -> None:
        """Of the CA is shown what is there; who depends on an older one is named, and waited for."""
        authorities = Authorities(self.edge.around.authority)
        (only,) = self.result(authorities.show())["authorities"]
        self.assertEqual((only["number"], only["state"]), (1, "in use"))
        self.refused(authorities.retire(ADA))
        shown = self.result(authorities.rotate(ADA))
        self.assertEqual([each["number"] for each in shown["authorities"]], [1, 2])
        self.assertEqual([each["name"] for each in shown["behind"]], ["dublin", "paris"])
        self.refused(authorities.rotate(ADA))
        self.assertIn("dublin, paris", self.refused(authorities.retire(ADA)).message)
        forced = self.result(authorities.retire(ADA, force=True))
        self.assertEqual(forced["revoked"], ["dublin", "paris"])
        self.assertEqual([each["number"] for each in forced["authorities"]], [2])


class CertificateObjectsTests(ObjectsTestCase):
    """The certificates that browsers see."""

    def test_certificates(self) -> None:
        """They are listed and shown, and not deleted: they are files."""
        certificates: Objects = CertificateObjects(self.edge.around.expiries)
        [row] = self.result(certificates.list_all())
        self.assertEqual(row, {"name": "apps", "expires_at": "2030-01-01T00:00:00Z"})
        self.assertEqual(self.result(certificates.show("apps")), row)
        self.assertEqual(self.refused(certificates.delete("apps", ADA)).status, 409)


class FindTests(ObjectsTestCase):
    """What an administrator calls an object."""

    def test_find(self) -> None:
        """An id beats a name, and a name that several have is no name."""
        self.assertEqual(find("x", "a", {"a": "B", "b": "A"}), "a")
        with self.assertRaises(AdminError):
            find("x", "same", {"a": "Same", "b": "same"})
