"""
Tests of L{appproxy.relay.edges}: a relay of its own between edges and connectors.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.pki.certificates import CONNECTORS_ISSUER, INFRASTRUCTURE_ISSUER
from appproxy.relay import edge_link, forwarder
from appproxy.relay.edges import EDGELESS_SECONDS
from appproxy.relay.opener import NoConnector, TunnelLink
from appproxy.tunnel.messages import UNTIL_END
from appproxy.tunnel.settings import TunnelSettings
from tests.relay.support import (
    ADA,
    EVE,
    Dialled,
    EdgeEnd,
    Rig,
    calls_of,
    holder,
    reason_of,
    stream_of,
    wanted,
)
from tests.tunnel.support import Recorder


class EdgesTestCase(SynchronousTestCase):
    """A relay with one edge and a connector of the group C{main}."""

    def setUp(self) -> None:
        self.rig = Rig()
        for name, group in (("hq", "main"), ("hq-2", "main"), ("hq-3", "main"), ("lab", "lab")):
            self.rig.enrol(name, group)
        self.edge = self.rig.edge()
        self.connector = self.rig.connector()

    def open(self, edge: EdgeEnd | None = None, **of: object) -> Recorder:
        """Open a stream at an edge, and let it arrive."""
        handler = Recorder()
        opener = (edge or self.edge).dialers.opener
        stay: TunnelLink | None = of.pop("stay_with", None)  # type: ignore[assignment]
        handler.stream, _ = opener.open(wanted(**of), handler, (), stay)  # type: ignore[arg-type]
        self.rig.run()
        return handler

    def assert_refused(self, dialled: Dialled, why: str = "") -> None:
        """Nothing was said on this tunnel but, perhaps, why it is none."""
        self.assertTrue(dialled.accepted.refused)
        self.assertIn(why, dialled.accepted.refused)
        self.assertLessEqual({call[0] for call in dialled.end.calls}, {"hello", "going_away"})
        self.assertFalse(hasattr(dialled.accepted, "session"))
        self.assertTrue(dialled.protocol.lost.called)

    def link(self, edge: EdgeEnd | None = None) -> TunnelLink:
        """An edge's only link."""
        (link,) = (edge or self.edge).dialers._dialers.ends
        return link


class AdmissionTests(EdgesTestCase):
    """Who gets a tunnel."""

    def test_connector(self) -> None:
        """A connector of the registry is let in, and told its group's document."""
        self.assertTrue(self.connector.is_up)
        self.assertEqual(self.connector.end.calls[1], ("config", 1, self.rig.catalog().groups["main"]))

    def test_stranger(self) -> None:
        """A connector that the registry does not have is refused before a byte is said."""
        self.assert_refused(self.rig.connector("nobody"), "it is not trusted")

    def test_edge_of_the_connectors_issuer(self) -> None:
        """The connectors' issuer, whose key is online, cannot make edges: such a tunnel is refused."""
        forged = holder("edge", "forged", CONNECTORS_ISSUER)
        self.rig.registry["forged"] = forged.record()
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.settle()
        self.assert_refused(self.rig.dial_relay(forged), "its certificate is not of its role")

    def test_connector_of_the_infrastructure_issuer(self) -> None:
        """Nor does the other issuer make connectors."""
        forged = holder("connector", "forged", INFRASTRUCTURE_ISSUER)
        self.rig.registry["forged"] = forged.record("main")
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.settle()
        self.assert_refused(self.rig.dial_relay(forged), "its certificate is not of its role")

    def test_relays_do_not_dial_relays(self) -> None:
        """A relay's certificate opens nothing here."""
        other = holder("relay", "relay-2")
        self.rig.registry["relay-2"] = other.record()
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.settle()
        self.assert_refused(self.rig.dial_relay(other), "it is not trusted")

    def test_superseded_certificate(self) -> None:
        """A certificate that is not among those issued last is refused, whatever its id."""
        old = holder("connector", "hq", "", ("old",))
        self.assert_refused(self.rig.dial_relay(old), "it is not trusted")

    def test_revoked_connector(self) -> None:
        """A connector that is revoked loses its tunnel at once, and gets none again."""
        self.rig.registry["hq"] = holder("connector", "hq").record("main", revoked=True)
        self.edge.dialers.update(self.rig.catalog(1, 2))
        self.rig.settle()
        self.assertTrue(self.connector.protocol.lost.called)
        self.assert_refused(self.rig.connector())

    def test_connector_changes_group(self) -> None:
        """A connector that serves another group now has to come anew."""
        self.rig.enrol("hq", "lab")
        self.edge.dialers.update(self.rig.catalog(1, 2))
        self.rig.settle()
        self.assertTrue(self.connector.protocol.lost.called)

    def test_revoked_edge(self) -> None:
        """An edge that is revoked loses its tunnel, and gets none again while the registry is known."""
        other = self.rig.edge("edge-2")
        self.rig.registry["edge-2"] = holder("edge", "edge-2").record(revoked=True)
        self.edge.dialers.update(self.rig.catalog(1, 3))
        self.rig.settle()
        self.rig.pass_time(60)
        self.assertEqual(self.rig.relay.attached, 1)
        self.assertRaises(NoConnector, self.open, other)

    def test_before_any_edge(self) -> None:
        """A relay that no edge has fed trusts no connector, and does not say that it distrusts it either."""
        rig = Rig()
        rig.enrol("hq")
        dialled = rig.connector()
        self.assert_refused(dialled, "no edge has said yet who is trusted")
        self.assertEqual(dialled.end.calls, [])


class FeedTests(EdgesTestCase):
    """What edges tell."""

    def test_newest_wins(self) -> None:
        """An edge that is behind changes nothing, in neither half."""
        self.edge.dialers.update(self.rig.catalog(9, 8))
        self.rig.settle()
        self.rig.registry.clear()
        self.rig.registry["relay-1"] = self.rig.relay_holder.record()
        self.rig.edge("edge-2", self.rig.catalog(7, 7))
        catalog = self.rig.relay.hub.catalog
        self.assertEqual((catalog.revision, catalog.registry_revision), (9, 8))
        self.assertTrue(self.connector.is_up)

    def test_halves(self) -> None:
        """Catalog and registry are each the newest that any edge has."""
        self.edge.dialers.update(self.rig.catalog(9, 3))
        self.rig.settle()
        self.rig.edge("edge-2", self.rig.catalog(4, 5))
        catalog = self.rig.relay.hub.catalog
        self.assertEqual((catalog.revision, catalog.registry_revision), (9, 5))

    def test_after_all_left(self) -> None:
        """Once every edge has left, the next one is believed even if its store was set back."""
        self.edge.dialers.update(self.rig.catalog(9, 9))
        self.rig.settle()
        self.leave()
        self.rig.reachable = True
        self.rig.edge("edge-2", self.rig.catalog(2, 2))
        self.assertEqual(self.rig.relay.hub.catalog.revision, 2)

    def test_edge_of_some_groups(self) -> None:
        """An edge that may open some groups only is not believed about anything."""
        self.rig.edge("edge-2", self.rig.catalog(99), groups=("main",))
        self.assertEqual(self.rig.relay.hub.catalog.revision, 1)

    def test_no_edge(self) -> None:
        """Connectors keep their tunnels for a minute without any edge, then they are closed."""
        self.leave()
        self.rig.pass_time(EDGELESS_SECONDS - 5)
        self.assertTrue(self.connector.is_up)
        self.rig.pass_time(10)
        self.assertTrue(self.connector.protocol.lost.called)
        self.assertNotIn(("going_away",), self.connector.end.calls)
        self.assert_refused(self.rig.connector())

    def test_edge_comes_back(self) -> None:
        """An edge that comes back within that time finds the connectors again."""
        self.leave()
        self.rig.pass_time(EDGELESS_SECONDS / 2)
        self.rig.reachable = True
        self.rig.pass_time(EDGELESS_SECONDS)
        self.assertTrue(self.connector.is_up)
        self.open()
        self.assertEqual(len(self.connector.end.messages), 1)

    def leave(self) -> None:
        """The edge goes, and cannot come back."""
        self.rig.reachable = False
        self.edge.cut()
        self.rig.run()


class ForwardTests(EdgesTestCase):
    """Streams and users."""

    def test_exchange(self) -> None:
        """A request reaches a connector of its group with its user, and the answer comes back."""
        handler = self.open(principal=ADA)
        message, user, served = self.connector.end.seen()
        assert user is not None
        self.assertEqual((message.application, message.head), ("wiki", b"GET /"))
        self.assertEqual((user.subject, user.user_principal_name), ("", "ada@example.com"))
        self.assertEqual(calls_of(served), [])
        stream = stream_of(served)
        stream.head(b"200")
        stream.write(b"hello")
        stream.trailers(b"t: 1")
        stream.end()
        self.rig.run()
        self.assertEqual(calls_of(handler), ["head", "data", "trailers", "ended"])
        self.assertEqual(handler.body, b"hello")
        self.assertEqual(self.link().load, 0)  # type: ignore[attr-defined]

    def test_two_edges(self) -> None:
        """The same numbers of two edges are two users and two client connections."""
        other = self.rig.edge("edge-2")
        self.open(principal=ADA, client=1)
        self.open(other, principal=EVE, client=1)
        self.open(principal=ADA, client=1)
        seen = [self.connector.end.seen(index) for index in range(3)]
        names = [user.user_principal_name for _, user, _ in seen if user is not None]
        self.assertEqual(names, ["ada@example.com", "eve@example.com", "ada@example.com"])
        clients = [message.client_connection for message, _, _ in seen]
        self.assertEqual(clients[0], clients[2])
        self.assertNotEqual(clients[0], clients[1])

    def test_user_crosses_once(self) -> None:
        """A user is told to each connector once, however many requests follow."""
        for _ in range(3):
            self.open(principal=ADA)
        self.assertEqual(self.told(), ["ada@example.com"])

    def told(self) -> list[str]:
        """Every PRINCIPAL that came."""
        calls = self.connector.end.calls
        return [Principal.decode(call[2]).user_principal_name for call in calls if call[0] == "principal"]

    def test_groups_are_told_apart(self) -> None:
        """Each group is told its own claims of a user, without forgetting what the other was told."""
        lab = self.rig.connector("lab")
        for _ in range(2):
            self.open(principal=ADA)
            self.open(application="tool", group="lab", principal=ADA, claims=frozenset({"subject"}))
        for connector, claims in ((self.connector, ("", "ada@example.com")), (lab, ("ada", ""))):
            users = [connector.end.seen(index)[1] for index in range(2)]
            self.assertEqual(
                [(user.subject, user.user_principal_name) for user in users if user], [claims] * 2
            )
            self.assertEqual(len(connector.end.users), 1)

    def test_forget(self) -> None:
        """A session that ends is forgotten by the connector, with its streams, and no other is."""
        ada, eve = self.open(principal=ADA), self.open(principal=EVE)
        self.edge.dialers.opener.forget(ADA.session_id)
        self.rig.run()
        self.assertEqual((reason_of(ada), reason_of(eve)), ("session_ended", ""))
        self.assertEqual(reason_of(self.connector.end.served[0]), "session_ended")
        self.assertEqual(len(self.connector.end.users), 1)

    def test_edge_lost(self) -> None:
        """With an edge go its streams, its users and what was bound to its clients."""
        self.open(principal=ADA, client=7)
        number = self.connector.end.messages[0].client_connection
        self.rig.reachable = False
        self.edge.cut()
        self.rig.run()
        self.assertEqual(reason_of(self.connector.end.served[0]), "cancelled")
        self.assertEqual(self.connector.end.users, {})
        self.assertIn(("client_gone", number), self.connector.end.calls)

    def test_connector_lost(self) -> None:
        """A connector that is lost breaks its streams, and another attempt says so too."""
        handler = self.open()
        self.connector.transport.abortConnection()
        self.rig.run()
        self.assertEqual(reason_of(handler), "tunnel_lost")

    def test_no_connector(self) -> None:
        """A group without a connector has none, which the edge knows beforehand."""
        self.assertRaises(NoConnector, self.open, None, application="tool", group="lab")

    def test_application_decides(self) -> None:
        """The group is that of the catalog's application, whatever the edge believes."""
        handler = self.open(application="tool", group="main")
        self.assertEqual(reason_of(handler), "no_connector")
        handler = self.open(application="none", group="main")
        self.assertEqual(reason_of(handler), "backend_not_allowed")

    def test_edge_may_not_open(self) -> None:
        """An edge opens the groups of its certificate only."""
        other = self.rig.edge("edge-2", groups=("lab",))
        handler = self.open(other)
        self.assertEqual(reason_of(handler), "backend_not_allowed")
        self.assertEqual(self.connector.end.messages, [])

    def test_least_loaded(self) -> None:
        """Streams go to the connector with the fewest."""
        second = self.rig.connector("hq-2")
        for _ in range(6):
            self.open()
        self.assertEqual([len(each.end.served) for each in (self.connector, second)], [3, 3])

    def test_release_client(self) -> None:
        """A client's connection that closes is gone at the connector, and at no other edge's."""
        self.open(client=7)
        self.link().release_client(7)
        self.rig.run()
        number = self.connector.end.messages[0].client_connection
        self.assertEqual(self.connector.end.calls[-1], ("client_gone", number))

    def test_upload_and_backpressure(self) -> None:
        """A connector that does not read slows the edge down, and nothing is lost."""
        handler = self.open(body=UNTIL_END)
        stream, served = stream_of(handler), self.connector.end.served[0]
        stream_of(served).pause()
        body = bytes(range(256)) * 4096
        stream.write(body)
        self.rig.run()
        self.assertFalse(handler.can_write)
        self.assertLess(len(served.body), len(body))
        stream_of(served).resume()
        stream.end()
        self.rig.run()
        self.assertEqual(served.body, body)
        self.assertTrue(handler.can_write)
        self.assertEqual(calls_of(served)[-1], "ended")

    def test_download_and_backpressure(self) -> None:
        """An edge that does not read slows the connector down, and nothing is lost."""
        handler = self.open()
        served = self.connector.end.served[0]
        stream_of(handler).pause()
        body = bytes(range(256)) * 4096
        stream_of(served).head(b"200")
        stream_of(served).write(body)
        stream_of(served).end()
        self.rig.run()
        self.assertFalse(served.can_write)
        self.assertLess(len(handler.body), len(body))
        stream_of(handler).resume()
        self.rig.run()
        self.assertEqual(handler.body, body)
        self.assertEqual(calls_of(handler)[-1], "ended")

    def test_upgrade(self) -> None:
        """After an upgrade both directions are raw, and each ends by itself."""
        handler = self.open(upgrade=True)
        served = self.connector.end.served[0]
        stream_of(served).head(b"101")
        stream_of(served).upgraded()
        stream_of(served).write(b"down")
        self.rig.run()
        stream_of(handler).write(b"up")
        stream_of(handler).end()
        self.rig.run()
        self.assertEqual(calls_of(handler), ["head", "upgraded", "data"])
        self.assertEqual((calls_of(served), served.body), (["data", "ended"], b"up"))
        stream_of(served).write(b" and on")
        stream_of(served).end()
        self.rig.run()
        self.assertEqual((handler.body, calls_of(handler)[-1]), (b"down and on", "ended"))

    def test_early_answer(self) -> None:
        """An answer before the request's end arrives whole, then the reset."""
        handler = self.open(body=UNTIL_END)
        served = stream_of(self.connector.end.served[0])
        served.head(b"413")
        served.write(b"x" * 300_000)
        served.end()
        served.reset("cancelled")
        self.rig.run()
        self.assertEqual(calls_of(handler), ["head", "data", "ended", "reset"])
        self.assertEqual(len(handler.body), 300_000)

    def test_cancelled(self) -> None:
        """A client that leaves is gone at the connector."""
        handler = self.open()
        stream_of(handler).reset("cancelled")
        self.rig.run()
        self.assertEqual(reason_of(self.connector.end.served[0]), "cancelled")


class RetryTests(EdgesTestCase):
    """What an edge tries again."""

    def setUp(self) -> None:
        super().setUp()
        self.second = self.rig.connector("hq-2")

    def served_by(self) -> tuple[Dialled, Dialled]:
        """Who served the only stream, and the other one."""
        both = (self.connector, self.second)
        return both if self.connector.end.served else (both[1], both[0])

    def test_elsewhere(self) -> None:
        """Another attempt of a request goes to another connector than the one that gave it up."""
        handler = self.open()
        busy, other = self.served_by()
        stream_of(busy.end.served[0]).reset("overloaded", "no room")
        self.rig.run()
        self.assertEqual(reason_of(handler), "overloaded")
        self.open()
        self.assertEqual((len(busy.end.served), len(other.end.served)), (1, 1))

    def test_nobody_left(self) -> None:
        """When every connector has given a request up, the last one's reason is said."""
        for _ in range(2):
            self.open()
        for each in (self.connector, self.second):
            stream_of(each.end.served[0]).reset("backend_refused", "closed port")
        self.rig.run()
        self.assertEqual(reason_of(self.open()), "backend_refused")

    def test_stay(self) -> None:
        """A bound client's requests go where its last one went; when that is gone, to one other."""
        for client in range(1, 5):
            self.open(client=client)
        loads = [len(each.end.served) for each in (self.connector, self.second)]
        self.assertEqual(loads, [2, 2])
        for _ in range(4):
            self.open(client=1, stay_with=self.link())
        first, other = self.connector, self.second
        if first.end.messages[0].client_connection & 0xFF != 1:
            first, other = other, first
        self.assertEqual(len(first.end.served), 6)
        first.transport.abortConnection()
        self.rig.run()
        third = self.rig.connector("hq-3")
        for _ in range(4):
            self.assertEqual(reason_of(self.open(client=1, stay_with=self.link())), "")
        self.assertEqual({len(other.end.served), len(third.end.served)}, {2, 4})

    def test_full(self) -> None:
        """A tunnel that takes no more streams is passed over."""
        rig = self.rig
        rig.enrol("small")
        self.edge.dialers.update(rig.catalog(1, 5))
        rig.settle()
        for each in (self.connector, self.second):
            each.transport.abortConnection()
        small = rig.connector("small", settings=TunnelSettings(max_streams=1))
        self.open()
        self.assertEqual(reason_of(self.open()), "no_connector")
        self.assertEqual(len(small.end.served), 1)


class RevisionTests(EdgesTestCase):
    """Streams and catalogs that overtake one another."""

    def test_waits_for_the_catalog(self) -> None:
        """A stream of a newer catalog waits for it, with what was sent already."""
        self.rig.groups["main"] += ("new",)
        handler = self.open(application="new", revision=2, body=UNTIL_END)
        stream_of(handler).write(b"early ")
        stream_of(handler).trailers(b"t: 1")
        stream_of(handler).end()
        self.rig.run()
        self.assertEqual(self.connector.end.messages, [])
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.run()
        message, _, served = self.connector.end.seen()
        self.assertEqual((message.application, message.revision), ("new", 2))
        self.assertEqual((served.body, calls_of(served)), (b"early ", ["data", "trailers", "ended"]))

    def test_stale(self) -> None:
        """It does not wait for ever."""
        handler = self.open(revision=2)
        self.rig.pass_time(3)
        self.assertEqual(reason_of(handler), "stale")
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.run()
        self.assertEqual(self.connector.end.messages, [])

    def test_given_up_meanwhile(self) -> None:
        """A client that leaves while its stream waits leaves nothing behind."""
        handler = self.open(revision=2)
        stream_of(handler).reset("cancelled")
        self.rig.run()
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.settle()
        self.assertEqual(self.connector.end.messages, [])

    def test_nothing_new_for_the_connector(self) -> None:
        """A revision that changes nothing for a group is not waited for at its connectors."""
        self.rig.groups["lab"] += ("other",)
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.settle()
        self.open(revision=2)
        self.assertEqual(self.connector.end.messages[0].revision, 1)


class LimitTests(EdgesTestCase):
    """Nothing that an edge does grows without bound."""

    def test_parked(self) -> None:
        """Only so many streams wait for a catalog."""
        self.patch(forwarder, "MAXIMUM_PARKED", 2)
        handlers = [self.open(revision=2) for _ in range(3)]
        self.assertEqual([reason_of(each) for each in handlers], ["", "", "stale"])

    def test_failures(self) -> None:
        """Only so many failures are remembered."""
        self.patch(forwarder, "MAXIMUM_FAILURES", 2)
        names = ["01ARZ3NDEKTSV4RRFFQ69G5FA" + letter for letter in "ABC"]
        for name in names:
            self.open(transaction=name)
            stream_of(self.connector.end.served[-1]).reset("overloaded")
            self.rig.run()
        self.assertEqual([reason_of(self.open(transaction=name)) for name in names[1:]], ["overloaded"] * 2)
        self.assertEqual(reason_of(self.open(transaction=names[0])), "")

    def test_clients(self) -> None:
        """Only so many client connections are remembered; what may be bound to the oldest is released."""
        self.patch(edge_link, "MAXIMUM_CLIENTS", 2)
        for client in (1, 2, 1, 3):
            self.open(client=client)
        numbers = [message.client_connection for message in self.connector.end.messages]
        gone = [call[1] for call in self.connector.end.calls if call[0] == "client_gone"]
        self.assertEqual(gone, [numbers[1]])

    def test_client_number(self) -> None:
        """A client connection's number that would be another edge's is an error."""
        self.assertEqual(reason_of(self.open(client=1 << 40)), "tunnel_lost")
        self.assertEqual(self.connector.end.messages, [])

    def test_reports(self) -> None:
        """However much happens at once, there are few reports."""
        (edge,) = self.rig.relay._up
        sent: list[int] = []
        self.patch(edge, "send_report", lambda revision, payload: sent.append(revision))
        for revision in range(2, 50):
            self.rig.groups["main"] += (f"app-{revision}",)
            self.edge.dialers.update(self.rig.catalog(revision))
            self.rig.run()
        self.rig.pass_time(1)
        self.assertEqual(sent, [49])

    def test_junk(self) -> None:
        """An edge that sends nonsense for a catalog loses its tunnel; the relay stays as it is."""
        (link,) = self.edge.dialers._dialers.ends
        link.send_config(2, b"nonsense")
        self.rig.run()
        self.assertEqual((self.rig.relay.attached, self.rig.relay.hub.catalog.revision), (0, 1))
        self.rig.pass_time(5)
        self.assertEqual(self.rig.relay.attached, 1)


class LiveTests(EdgesTestCase):
    """What an edge knows of the relay's connectors."""

    def rows(self) -> list[tuple[object, ...]]:
        """The status of all tunnels."""
        names = ("role", "connector", "connector_group", "revision", "streams")
        return [tuple(row[name] for name in names) for row in self.edge.dialers.tunnels()]

    def test_rows(self) -> None:
        """Status shows the relay and every connector behind it."""
        self.open()
        self.rig.pass_time(11)
        self.assertEqual(self.rows(), [("relay", "relay-1", "", 1, 1), ("connector", "hq", "main", 1, 1)])

    def test_live(self) -> None:
        """A revision is live once the connectors behind the relay serve it, and not before."""
        self.rig.groups["main"] += ("new",)
        self.connector.end.applies = False
        self.edge.dialers.update(self.rig.catalog(2))
        self.rig.settle()
        live = self.edge.dialers.live_revision(2)
        self.rig.pass_time(1)
        self.assertNoResult(live)
        self.connector.end.session.send_applied(2)
        self.rig.settle()
        self.successResultOf(live)
        self.assertEqual([row[3] for row in self.rows()], [2, 2])

    def test_live_without_the_slow_one(self) -> None:
        """A connector that goes is not waited for."""
        self.rig.groups["main"] += ("new",)
        self.connector.end.applies = False
        self.edge.dialers.update(self.rig.catalog(2))
        live = self.edge.dialers.live_revision(2)
        self.connector.transport.abortConnection()
        self.rig.settle()
        self.successResultOf(live)

    def test_drain(self) -> None:
        """A relay that stops lets streams end, and takes no new ones."""
        handler = self.open()
        drained = self.rig.relay.drain(30)
        self.rig.run()
        self.assertRaises(NoConnector, self.open)
        served = stream_of(self.connector.end.served[0])
        served.head(b"200")
        served.end()
        self.rig.pass_time(1)
        self.assertEqual(calls_of(handler), ["head", "ended"])
        self.successResultOf(drained)

    def test_drain_meets_an_upload(self) -> None:
        """An upload that is on its way from an edge when the relay begins to stop still finds a connector."""
        handler = Recorder()
        stream, _ = self.edge.dialers.opener.open(wanted(body=UNTIL_END), handler, (), None)
        stream.write(b"ab")
        drained = self.rig.relay.drain(30)
        self.rig.run()
        self.assertRaises(NoConnector, self.open)
        (served,) = self.connector.end.served
        stream.write(b"cd")
        stream.end()
        self.rig.run()
        self.assertEqual((calls_of(served), served.body), (["data", "ended"], b"abcd"))
        self.assertNoResult(drained)
        stream_of(served).head(b"200")
        stream_of(served).end()
        self.rig.run()
        self.assertEqual(calls_of(handler), ["head", "ended"])
        self.successResultOf(drained)

    def test_drain_takes_no_longer(self) -> None:
        """What does not end in time is given up; connectors' tunnels end with the edges'."""
        handler = self.open()
        drained = self.rig.relay.drain(30)
        self.rig.pass_time(29)
        self.assertTrue(self.connector.is_up)
        self.rig.pass_time(2)
        self.assertEqual(reason_of(handler), "draining")
        self.assertTrue(self.connector.protocol.lost.called)
        self.successResultOf(drained)
