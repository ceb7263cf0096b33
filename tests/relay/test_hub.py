"""L{appproxy.relay.hub}: the relay inside of an edge, with connectors that dial it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.application import Connector
from appproxy.pki.tunnel_peer import TunnelPeer
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.hub import RelayHub
from appproxy.relay.local import LocalOpener
from appproxy.relay.opener import NoConnector
from appproxy.transport.turn import end_of_turn
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from tests.relay.support import (
    ADA,
    EVE,
    ConnectorEnd,
    Dialled,
    Wires,
    document,
    holder,
    reason_of,
    stream_of,
    wanted,
)
from tests.tunnel.support import Recorder

EDGE = holder("edge", "edge-1")


class HubTests(SynchronousTestCase):
    """L{RelayHub}."""

    def setUp(self) -> None:
        """A hub that knows one connector of one group."""
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.wires = Wires(self.clock)
        self.schedule = end_of_turn(self.clock)
        self.asked: list[tuple[TunnelPeer, bytes]] = []
        self.renewing: Deferred[bytes] = Deferred()
        self.hub = RelayHub(self.clock, self.schedule, self.renew)
        self.opener = LocalOpener(self.hub.broker)
        self.registry: dict[str, Connector] = {"hq": holder("connector", "hq").record("main")}
        self.groups = {"main": document("wiki")}
        self.update(1)

    def renew(self, peer: TunnelPeer, csr: bytes, roots: Sequence[str]) -> Deferred[bytes]:
        """What the authority would do."""
        self.asked.append((peer, csr))
        self.roots = tuple(roots)
        return self.renewing

    def update(self, revision: int) -> None:
        """Another catalog."""
        self.hub.update(RelayCatalog(revision, dict(self.groups), dict(self.registry), revision))
        self.wires.run()

    def dial(self, name: str = "hq", applies: bool = True) -> Dialled:
        """A connector dials."""
        end = ConnectorEnd()
        end.applies = applies

        def session(wake: object) -> TunnelSession:
            end.session = TunnelSession("acceptor", TunnelSettings(), end, wake)  # type: ignore[arg-type]
            return end.session

        protocol = TunnelProtocol(session, self.clock, self.schedule)
        accepted = self.hub.accept()
        transport = self.wires.join(protocol, accepted, holder("connector", name), EDGE)
        self.wires.run()
        return Dialled(end, protocol, accepted, transport)

    def open(self, **of: object) -> Recorder:
        """Open a stream, and let it arrive."""
        handler = Recorder()
        handler.stream, _ = self.opener.open(wanted(**of), handler)  # type: ignore[arg-type]
        self.wires.run()
        return handler

    def goodbye(self, dialled: Dialled) -> str:
        """What the relay told a connector at the end; empty for nothing."""
        said = dialled.protocol.session.peer_goodbye
        return said[0] if said else ""

    def test_catalog_first(self) -> None:
        """A connector is told what its group serves, and gets streams once it serves that."""
        dialled = self.dial(applies=False)
        self.assertEqual(dialled.end.calls[1], ("config", 1, self.groups["main"]))
        self.assertRaises(NoConnector, self.open)
        dialled.end.session.send_applied(1)
        self.wires.run()
        self.assertEqual(reason_of(self.open()), "")

    def test_drained(self) -> None:
        """A connector that is drained gets no new streams; those under way go on. It is told of changes."""
        dialled = self.dial()
        under_way = self.open()
        self.groups["main"] = document("wiki", "new")
        for drained in (frozenset({"hq"}), frozenset[str]()):
            self.hub.update(RelayCatalog(2, dict(self.groups), dict(self.registry), 2, drained=drained))
            self.wires.run()
            self.assertEqual([row["drained"] for row in self.hub.tunnels()], [bool(drained)])
            if drained:
                self.assertRaises(NoConnector, self.open)
        self.assertEqual(dialled.end.calls[-1], ("config", 2, self.groups["main"]))
        self.open()
        self.assertEqual(reason_of(under_way), "")

    def test_drained_before_it_dials(self) -> None:
        """One that comes back finds itself drained."""
        self.hub.update(RelayCatalog(1, dict(self.groups), dict(self.registry), 1, drained=frozenset({"hq"})))
        self.dial()
        self.assertRaises(NoConnector, self.open)

    def test_roots_of_a_renewal(self) -> None:
        """Which roots a connector trusts is handed on, up to a number; an older one says nothing."""
        dialled = self.dial()
        for said, handed_on in (({}, ()), ({"roots": ["ab"]}, ("ab",)), ({"roots": ["x"] * 99}, ("x",) * 8)):
            self.renewing = Deferred()
            dialled.end.session.send_renew(json.dumps({"csr": "CSR", **said}).encode())
            self.wires.run()
            self.assertEqual(self.roots, handed_on)
            self.renewing.callback(b"chain")
            self.wires.run()

    def test_group_without_applications(self) -> None:
        """A group that serves nothing is told so."""
        self.groups.clear()
        self.update(2)
        self.assertEqual(self.dial().end.calls[1], ("config", 2, b'{"applications":[]}'))

    def test_changes(self) -> None:
        """A change is told once; what changes nothing for the group is not told."""
        dialled = self.dial()
        self.groups["main"] = document("wiki", "new")
        self.update(2)
        self.groups["other"] = document("x")
        self.update(3)
        told = [call[1] for call in dialled.end.calls if call[0] == "config"]
        self.assertEqual(told, [1, 2])
        self.open(revision=3)
        self.assertEqual(dialled.end.messages[0].revision, 2)

    def test_ahead_of_the_connector(self) -> None:
        """A stream of a revision that the connector must still apply names it."""
        dialled = self.dial()
        dialled.end.applies = False
        self.groups["main"] = document("wiki", "new")
        self.update(2)
        self.open(revision=2)
        self.assertEqual(dialled.end.messages[0].revision, 2)

    def test_live(self) -> None:
        """A revision is live when every connector serves it, not before."""
        dialled = self.dial()
        self.successResultOf(self.hub.live_revision(1))
        dialled.end.applies = False
        self.groups["main"] = document("wiki", "new")
        live = self.hub.live_revision(2)
        self.update(2)
        self.assertNoResult(live)
        dialled.end.session.send_applied(2)
        self.wires.run()
        self.successResultOf(live)

    def test_stranger(self) -> None:
        """A connector that the registry does not know hears that it is not trusted, and nothing else."""
        dialled = self.dial("stranger")
        self.assertFalse(dialled.is_up)
        self.assertEqual(self.goodbye(dialled), "not_trusted")
        self.assertEqual([call[0] for call in dialled.end.calls], ["hello", "going_away"])
        self.assertEqual((self.hub.links, self.hub.tunnels()), ({}, []))

    def test_old_certificate(self) -> None:
        """Neither does one whose certificate is not the newest: it may be a copy."""
        self.registry["hq"] = self.registry["hq"].model_copy(update={"fingerprints": ("0" * 64,)})
        self.update(2)
        self.assertEqual(self.goodbye(self.dial()), "not_trusted")

    def test_revoked_before(self) -> None:
        """A connector that was revoked while it was away hears so when it comes back."""
        self.registry["hq"] = holder("connector", "hq").record("main", revoked=True)
        self.update(2)
        self.assertEqual(self.goodbye(self.dial()), "revoked")

    def test_revoked(self) -> None:
        """One that is revoked hears so, and loses its tunnel and streams at once."""
        dialled = self.dial()
        handler = self.open()
        self.registry["hq"] = holder("connector", "hq").record("main", revoked=True)
        self.update(2)
        self.assertRaises(NoConnector, self.open)
        self.wires.pass_time(0.1)
        self.assertEqual(self.goodbye(dialled), "revoked")
        self.assertTrue(dialled.protocol.lost.called)
        self.assertEqual(reason_of(handler), "draining")
        self.assertEqual(self.hub.links, {})

    def test_deleted(self) -> None:
        """One that was deleted likewise."""
        dialled = self.dial()
        self.registry.clear()
        self.update(2)
        self.wires.pass_time(0.1)
        self.assertEqual(self.goodbye(dialled), "not_trusted")
        self.assertTrue(dialled.protocol.lost.called)

    def test_deaf_and_revoked(self) -> None:
        """One that takes nothing any more is cut off all the same."""
        dialled = self.dial()
        dialled.transport.pauseProducing()
        self.registry.clear()
        self.update(2)
        self.wires.pass_time(10)
        self.assertTrue(dialled.accepted.lost.called)

    def test_another_group(self) -> None:
        """A connector that serves another group has to come again, and is told that one's documents."""
        dialled = self.dial()
        self.registry["hq"] = holder("connector", "hq").record("lab")
        self.update(2)
        self.assertTrue(dialled.protocol.lost.called)
        self.assertEqual(self.dial().end.calls[1], ("config", 2, b'{"applications":[]}'))

    def test_renewal(self) -> None:
        """
        A certificate is asked for under the name of the certificate that is there, once at a time.

        Security row 37.
        """
        dialled = self.dial()
        for _ in range(3):
            dialled.end.session.send_renew(b'{"csr": "CSR"}')
        self.wires.run()
        self.assertEqual([(peer.id, csr) for peer, csr in self.asked], [("hq", b"CSR")])
        self.renewing.callback(b"PEM")
        self.wires.run()
        self.assertEqual(json.loads(dialled.end.calls[-1][1]), {"certificate": "PEM"})

    def test_no_renewal(self) -> None:
        """A question that is none is dropped; a refusal costs nothing but the certificate."""
        dialled = self.dial()
        for payload in (b"", b"[]", b"{}", b'{"csr": 7}'):
            dialled.end.session.send_renew(payload)
        self.wires.run()
        self.assertEqual(self.asked, [])
        dialled.end.session.send_renew(b'{"csr": "CSR"}')
        self.wires.run()
        self.renewing.errback(ValueError("no"))
        self.wires.run()
        self.assertTrue(dialled.is_up)

    def test_forget(self) -> None:
        """A session that ends is forgotten with its streams, by every connector."""
        dialled = self.dial()
        ada, eve = self.open(principal=ADA), self.open(principal=EVE)
        self.opener.forget(ADA.session_id)
        self.wires.run()
        self.assertEqual((reason_of(ada), reason_of(eve)), ("session_ended", ""))
        self.assertEqual(len(dialled.end.users), 1)

    def test_leaving_connector(self) -> None:
        """A connector that is about to stop gets nothing new, and ends what it has."""
        dialled = self.dial()
        handler = self.open()
        dialled.end.session.go_away("draining")
        self.wires.run()
        self.wires.pass_time(0.1)
        self.assertRaises(NoConnector, self.open)
        stream_of(dialled.end.served[0]).head(b"200 0")
        stream_of(dialled.end.served[0]).end()
        self.wires.run()
        self.wires.pass_time(0.1)
        self.assertEqual(handler.calls[-1], ("ended",))

    def test_lost(self) -> None:
        """A lost tunnel is gone from everywhere."""
        dialled = self.dial()
        self.assertEqual(len(self.hub.tunnels()), 1)
        dialled.transport.abortConnection()
        self.wires.run()
        self.assertEqual((self.hub.tunnels(), list(self.hub.broker)), ([], []))

    def test_status(self) -> None:
        """Status tells who, where, since when and how busy."""
        self.dial()
        self.open()
        (row,) = self.hub.tunnels()
        self.assertEqual(
            {name: row[name] for name in ("connector", "connector_group", "role", "streams", "revision")},
            {"connector": "hq", "connector_group": "main", "role": "connector", "streams": 1, "revision": 1},
        )
        self.assertEqual(row["since"], "2027-01-15T08:00:00Z")
