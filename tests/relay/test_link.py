"""
Tests of L{appproxy.relay.link}, L{appproxy.relay.broker} and L{appproxy.relay.local}, over a hub in memory.
"""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from appproxy.relay.broker import Broker
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.hub import RelayHub
from appproxy.relay.link import ConnectorLink
from appproxy.relay.local import LocalOpener
from appproxy.relay.opener import NoConnector, StreamRequest, TunnelLink
from appproxy.relay.principals import MAXIMUM_NUMBER
from appproxy.transport.turn import end_of_turn
from appproxy.tunnel.errors import TunnelRefused
from tests.relay.support import ADA, EVE, Dialled, Rig, document, reason_of, wanted
from tests.tunnel.support import Recorder


class HubTestCase(SynchronousTestCase):
    """The hub that stands inside of an edge, with two connectors of one group."""

    def setUp(self) -> None:
        self.rig = rig = Rig()
        for name, group in (("one", "main"), ("two", "main"), ("lab", "lab")):
            rig.enrol(name, group)
        self.hub = RelayHub(
            rig.clock, end_of_turn(rig.clock), lambda _peer, _csr, _roots: fail(ValueError("no"))
        )
        self.opener = LocalOpener(self.hub.broker)
        self.patch(rig.relay, "accept", self.hub.accept)
        self.hub.update(rig.catalog())
        self.one = rig.connector("one")

    def open(
        self, request: StreamRequest, avoid: tuple[TunnelLink, ...] = (), stay: TunnelLink | None = None
    ) -> tuple[Recorder, TunnelLink]:
        """Open a stream, and let it arrive."""
        handler = Recorder()
        handler.stream, link = self.opener.open(request, handler, avoid, stay)
        self.rig.run()
        return handler, link

    def link_of(self, dialled: Dialled) -> ConnectorLink:
        """The hub's end of a connector's tunnel."""
        return next(link for link, tunnel in self.hub.links.items() if tunnel is dialled.accepted)


class RevisionTests(HubTestCase):
    """What a connector is told, and what requests name to it."""

    def update(self, revision: int, *applications: str) -> None:
        """Another catalog."""
        groups = {"main": document(*applications)}
        self.hub.update(RelayCatalog(revision, groups, dict(self.rig.registry), revision))
        self.rig.run()

    def told(self) -> list[int]:
        """Every CONFIG that the connector has had."""
        return [call[1] for call in self.one.end.calls if call[0] == "config"]

    def named(self, revision: int) -> int:
        """The revision that a request of this revision names to the connector."""
        self.open(wanted(revision=revision))
        return self.one.end.messages[-1].revision

    def test_unchanged_group(self) -> None:
        """What did not change is not told again, and requests name what the connector knows."""
        self.update(2, "wiki", "mail")
        self.update(3, "wiki", "mail")
        self.assertEqual(self.told(), [1])
        self.assertEqual((self.link_of(self.one).live_revision, self.named(3)), (3, 1))

    def test_changed_group(self) -> None:
        """What changed is told, and requests of it name it, also before the connector has it."""
        self.one.end.applies = False
        self.update(2, "wiki")
        self.assertEqual(self.told(), [1, 2])
        self.assertEqual((self.link_of(self.one).live_revision, self.named(2)), (1, 2))
        self.assertEqual(self.named(1), 1)

    def test_ahead(self) -> None:
        """A request of a revision that the relay itself does not know names it: the connector waits."""
        self.assertEqual(self.named(9), 9)

    def test_live(self) -> None:
        """A revision is live once every connector has it."""
        self.one.end.applies = False
        self.update(2, "wiki")
        live, never = self.hub.live_revision(2), self.hub.live_revision(3)
        self.assertNoResult(live)
        self.one.end.session.send_applied(2)
        self.rig.run()
        self.successResultOf(live)
        never.cancel()
        self.failureResultOf(never)


class ChoiceTests(HubTestCase):
    """Which tunnel a stream takes."""

    def test_none(self) -> None:
        """A group without a tunnel has none."""
        self.assertRaises(NoConnector, self.open, wanted("tool", group="lab"))
        self.assertIsNone(Broker().choose("main"))

    def test_turns(self) -> None:
        """Equally loaded tunnels take turns, and the least loaded goes first."""
        two = self.rig.connector("two")
        first, _ = self.open(wanted())
        self.open(wanted())
        self.assertEqual([len(each.end.served) for each in (self.one, two)], [1, 1])
        assert first.stream is not None
        first.stream.reset("cancelled")
        self.open(wanted())
        self.assertEqual(sorted([self.link_of(self.one).load, self.link_of(two).load]), [1, 1])

    def test_avoid(self) -> None:
        """A tunnel that just failed is not taken again, even if it is the only one."""
        _, link = self.open(wanted())
        self.assertRaises(NoConnector, self.open, wanted(), (link,))
        self.rig.connector("two")
        self.assertIsNot(self.open(wanted(), (link,))[1], link)

    def test_behind(self) -> None:
        """A tunnel whose connector has the revision comes before an idle one that is behind."""
        two = self.rig.connector("two")
        two.end.applies = False
        self.hub.update(RelayCatalog(2, {"main": document("wiki")}, dict(self.rig.registry), 2))
        self.rig.run()
        for _ in range(4):
            self.open(wanted(revision=2))
        self.assertEqual((len(self.one.end.served), len(two.end.served)), (4, 0))

    def test_without_catalog(self) -> None:
        """A tunnel whose connector has applied nothing yet takes nothing."""
        rig = self.rig
        self.one.transport.abortConnection()
        rig.run()
        two = rig.connector("two")
        self.link_of(two).applied_revision = -1
        self.assertRaises(NoConnector, self.open, wanted())

    def test_leaving(self) -> None:
        """A connector that is about to stop takes nothing new."""
        self.one.end.session.go_away("draining")
        self.rig.run()
        self.assertRaises(NoConnector, self.open, wanted())

    def test_stay(self) -> None:
        """A bound client stays where it is, even there where it is avoided; nowhere else will do."""
        _, link = self.open(wanted())
        self.rig.connector("two")
        for _ in range(3):
            self.assertIs(self.open(wanted(), (), link)[1], link)
        served = next(tunnel for each, tunnel in self.hub.links.items() if each is link)
        served.abort("gone")
        self.rig.run()
        self.assertRaises(NoConnector, self.open, wanted(), (), link)

    def test_stay_elsewhere(self) -> None:
        """A client that is bound to a connector of one group reaches other groups all the same."""
        _, link = self.open(wanted())
        lab = self.rig.connector("lab")
        self.assertIsNot(self.open(wanted("tool", group="lab"), (), link)[1], link)
        self.assertEqual(len(lab.end.served), 1)


class UserTests(HubTestCase):
    """Users on a connector's tunnel."""

    def test_told_before(self) -> None:
        """The connector knows the user of every request; anonymous is nobody."""
        for user in (ADA, None, EVE, ADA):
            self.open(wanted(principal=user))
        seen = [self.one.end.seen(index)[1] for index in range(4)]
        names = [user.user_principal_name if user is not None else "" for user in seen]
        self.assertEqual(names, ["ada@example.com", "", "eve@example.com", "ada@example.com"])

    def test_forget(self) -> None:
        """A session that ends is forgotten everywhere."""
        handler, _ = self.open(wanted(principal=ADA))
        self.opener.forget(ADA.session_id)
        self.rig.run()
        self.assertEqual((reason_of(handler), self.one.end.users), ("session_ended", {}))

    def test_numbers_used_up(self) -> None:
        """A tunnel without numbers takes nothing new, and is left."""
        numbers = self.link_of(self.one)._principals
        assert numbers is not None
        numbers._last = MAXIMUM_NUMBER - 1
        self.open(wanted(principal=ADA))
        self.assertRaises(NoConnector, self.open, wanted(principal=EVE))
        self.rig.run()
        self.assertIn(("going_away",), self.one.end.calls)

    def test_before_hello(self) -> None:
        """A tunnel that is not up refuses."""
        link = self.link_of(self.one)
        bare = ConnectorLink(link.peer, self.rig.registry["one"], "", self.hub)
        self.assertFalse(bare.usable)
        for user in (None, ADA):
            self.assertRaises(TunnelRefused, bare.open, wanted(principal=user), Recorder())
        for call in (bare.leave, lambda: bare.release_client(1), lambda: bare.forget("x")):
            call()
