"""Tests of what status shows."""

from __future__ import annotations

from appproxy.admin.status import Status
from appproxy.catalog.documents import encode, key_of
from appproxy.store.istore import Put
from tests.admin.support import CERTIFICATE_END, EdgeTestCase
from tests.catalog.examples import read


class StatusTests(EdgeTestCase):
    """The edge, its tunnels, its certificates."""

    def test_status(self) -> None:
        """Groups without a tunnel, tunnels by name, days until a certificate ends: all is there."""
        around = self.edge.around
        broken = {"broken": "Permission denied"}
        status = Status(
            self.clock, around.feed, around.connectors, around.source, around.expiries, lambda: broken
        )
        puts = [Put(key_of("connector_group", "hq"), encode(read().groups["hq"]))]
        puts += [Put(key_of("application", key), encode(each)) for key, each in read().applications.items()]
        self.successResultOf(self.store.transact(puts=puts))
        self.result(self.edge.enrol("c1", "dublin", "hq"))
        self.clock.advance(90)
        shown = self.result(status.show())
        self.assertEqual(shown["connector_groups"], [{"id": "hq", "applications": 2, "tunnels": 0}])
        self.edge.tunnels.connect("c1", "hq")
        shown = self.result(status.show())
        self.assertEqual(shown["connector_groups"][0]["tunnels"], 1)
        self.assertEqual(shown["tunnels"][0]["name"], "dublin")
        self.assertEqual((shown["uptime_seconds"], shown["store_up"], shown["applications"]), (90, True, 2))
        days = (CERTIFICATE_END.timestamp() - self.clock.seconds()) // 86400
        rows = {row["name"]: row for row in shown["certificates"]}
        unusable = {"name": "broken", "expires_at": None, "days_left": None, "problem": "Permission denied"}
        self.assertEqual(rows.pop("broken"), unusable)
        (row,) = rows.values()
        self.assertEqual((row["days_left"], row["problem"]), (days, None))
