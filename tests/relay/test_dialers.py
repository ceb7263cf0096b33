"""
Tests of L{appproxy.relay.dialers} and L{appproxy.relay.renewals}: trust and
certificates between edge and relay.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki.certificates import CONNECTORS_ISSUER, key_from_pem, make_key, make_request
from appproxy.relay.documents import RenewalRequest, write_renewal
from appproxy.relay.renewals import ANSWER_SECONDS, NotRenewed
from tests.relay.support import HOST, Holder, Rig, holder


def request_of(who: Holder) -> bytes:
    """A signing request for the holder's present key."""
    return make_request(key_from_pem(who.key_pem))


class TrustTests(SynchronousTestCase):
    """Which relays an edge trusts."""

    def setUp(self) -> None:
        self.rig = Rig()

    def assert_no_tunnel(self) -> None:
        """The edge dials again and again, and never says a word."""
        edge = self.rig.edge()
        self.rig.pass_time(40)
        self.assertEqual(edge.dialers.tunnels(), [])
        self.assertGreater(len(edge.transports), 2)
        self.assertEqual(self.rig.relay.attached, 0)

    def test_registered(self) -> None:
        """A relay of the registry is trusted."""
        edge = self.rig.edge()
        self.assertEqual([row["connector"] for row in edge.dialers.tunnels()], ["relay-1"])

    def test_unknown(self) -> None:
        """A relay that the registry does not have gets no tunnel."""
        del self.rig.registry["relay-1"]
        self.assert_no_tunnel()

    def test_other_certificate(self) -> None:
        """Nor does one with another certificate than those that were issued last."""
        self.rig.relay_holder = holder("relay", "relay-1", "", ("other",))
        self.assert_no_tunnel()

    def test_connectors_issuer(self) -> None:
        """Nor one whose certificate the connectors' issuer made: TLS itself refuses such a server."""
        forged = self.rig.relay_holder = holder("relay", "relay-1", CONNECTORS_ISSUER)
        self.rig.registry["relay-1"] = forged.record()
        edge = self.rig.edge()
        self.rig.pass_time(40)
        self.assertEqual((edge.dialers.tunnels(), self.rig.relay.attached), ([], 0))

    def test_edge_as_relay(self) -> None:
        """Nor another edge."""
        self.rig.relay_holder = other = holder("edge", "relay-1")
        self.rig.registry["relay-1"] = other.record()
        self.assert_no_tunnel()

    def test_revoked_later(self) -> None:
        """A relay that is revoked loses its tunnel at once."""
        edge = self.rig.edge()
        self.rig.registry["relay-1"] = self.rig.relay_holder.record(revoked=True)
        edge.dialers.update(self.rig.catalog(1, 2))
        self.rig.run()
        self.assertEqual(edge.dialers.tunnels(), [])

    def test_nobody_listens(self) -> None:
        """A relay that is away is dialled until it is there."""
        self.rig.reachable = False
        edge = self.rig.edge()
        self.rig.pass_time(100)
        self.assertEqual(edge.dialers.tunnels(), [])
        self.rig.reachable = True
        self.rig.pass_time(31)
        self.assertEqual(len(edge.dialers.tunnels()), 1)

    def test_stop(self) -> None:
        """An edge that stops closes its tunnels and dials no more."""
        edge = self.rig.edge()
        stopped = edge.dialers.stop(5)
        self.rig.pass_time(40)
        self.successResultOf(stopped)
        self.assertEqual((len(edge.transports), self.rig.relay.attached), (1, 0))


class RenewalTests(SynchronousTestCase):
    """Certificates through a relay."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.rig.enrol("hq")
        self.edge = self.rig.edge()
        self.connector = self.rig.connector()
        self.asked = self.edge.renewing.asked

    def renew(self, csr: bytes | None = None) -> list[Any]:
        """The connector asks; all answers that it has had."""
        payload = json.dumps({"csr": (csr or request_of(holder("connector", "hq"))).decode()})
        self.connector.end.session.send_renew(payload.encode())
        self.rig.run()
        return [json.loads(call[1]) for call in self.connector.end.calls if call[0] == "renew"]

    def test_connector(self) -> None:
        """A connector's request reaches the edge, and the certificate comes back."""
        csr = request_of(holder("connector", "hq"))
        self.assertEqual(self.renew(csr), [{"certificate": "chain of hq"}])
        self.assertEqual(self.asked, [("hq", csr, "")])

    def test_other_key(self) -> None:
        """A request for another key than the connector's is refused: a relay could have made it."""
        self.assertEqual(self.renew(make_request(make_key())), [])
        self.assertEqual(self.asked, [])

    def test_flawed(self) -> None:
        """What is no signing request is refused, and the tunnels live on."""
        self.assertEqual(self.renew(b"nonsense"), [])
        self.assertEqual(len(self.renew()), 1)

    def test_refused(self) -> None:
        """What the authority refuses is refused; the connector may ask again."""
        self.edge.renewing.refusal = ValueError("not today")
        self.assertEqual(self.renew(), [])
        self.edge.renewing.refusal = None
        self.assertEqual(len(self.renew()), 1)

    def ask(self, csr: bytes, certificate: str) -> None:
        """A relay asks whatever it likes."""
        (edge,) = self.rig.relay._up
        edge.send_renew(write_renewal(RenewalRequest(id=99, csr=csr.decode(), certificate=certificate)))
        self.rig.run()

    def test_relay_of_another_role(self) -> None:
        """A relay gets no certificate of an edge, of another relay, or of a connector that is not trusted."""
        for who in (holder("edge", "edge-1"), self.rig.relay_holder, holder("connector", "nobody")):
            pem = who.chain_pem.decode()
            self.ask(request_of(who), pem)
        self.assertEqual(self.asked, [])

    def test_relay_itself(self) -> None:
        """A relay's own certificate is for the connect host."""
        csr = request_of(self.rig.relay_holder)
        renewed = self.rig.relay.renewals.of_relay(csr)
        self.rig.run()
        self.assertEqual(self.successResultOf(renewed), b"chain of relay-1")
        self.assertEqual(self.asked, [("relay-1", csr, HOST)])

    def test_no_edge(self) -> None:
        """Without an edge there is no certificate."""
        self.rig.reachable = False
        self.edge.cut()
        self.rig.run()
        self.failureResultOf(self.rig.relay.renewals.of_relay(b"csr"), NotRenewed)

    def test_edge_goes(self) -> None:
        """An edge that goes before it has answered fails the request at once."""
        renewed = self.rig.relay.renewals.of_relay(request_of(self.rig.relay_holder))
        self.edge.cut()
        self.rig.run()
        self.failureResultOf(renewed, NotRenewed)

    def test_no_answer(self) -> None:
        """An answer is not waited for for ever, and is of no use afterwards."""
        (edge,) = self.rig.relay._up
        self.patch(edge, "send_renew", lambda payload: None)
        renewed = self.rig.relay.renewals.of_relay(b"csr")
        self.rig.pass_time(ANSWER_SECONDS + 1)
        self.failureResultOf(renewed)
        self.rig.relay.renewals.answered(edge, b'{"id": 1, "certificate": "late"}')

    def test_answer_of_another_edge(self) -> None:
        """Only the edge that was asked may answer."""
        other = self.rig.edge("edge-2")
        asked = self.rig.relay._up[-1]
        self.patch(asked, "send_renew", lambda payload: None)
        renewed = self.rig.relay.renewals.of_relay(b"csr")
        self.rig.relay.renewals.answered(self.rig.relay._up[0], b'{"id": 1, "certificate": "forged"}')
        self.rig.relay.renewals.answered(asked, b"nonsense")
        self.assertNoResult(renewed)
        self.rig.relay.renewals.answered(asked, b'{"id": 1, "certificate": "good"}')
        self.assertEqual(self.successResultOf(renewed), b"good")
        self.assertEqual(other.renewing.asked, [])
