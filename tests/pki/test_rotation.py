"""
Tests of L{appproxy.pki.authority} and L{appproxy.pki.generations}: one CA after the other.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.application import Connector
from appproxy.pki.authority import Authority, IssuerAway, NotNow, read_connector
from appproxy.pki.certificates import Role, chain_from_pem, fingerprint, make_key, make_request
from appproxy.pki.server_identity import ServerIdentity
from appproxy.pki.trust import follow_roots, root_of
from appproxy.store.keys import AUTHORITIES, CONNECTORS
from tests.pki.support import DAY, HOST, NOW, clock_now, new_folder, open_authority, result
from tests.store.support import memory_store


class RotationTests(SynchronousTestCase):
    """A CA with an edge, a connector and a relay."""

    def setUp(self) -> None:
        """Make them known."""
        self.clock = clock_now()
        self.store = memory_store(self.clock)
        self.keys = new_folder(self.mktemp())
        self.key_file = self.keys / "infrastructure.key"
        self.authority = self.open()
        self.old = self.authority.newest
        self.enrol("connector", "c")
        self.enrol("relay", "r")
        self.edge = ServerIdentity(self.authority, new_folder(self.mktemp()) / "identity", HOST)
        result(self.edge.start())
        self.addCleanup(self.edge.stop)
        self.authority.changed(self.edge.look)
        self.follow()

    def open(self) -> Authority:
        """The authority of the store."""
        return open_authority(self.clock, self.keys, self.store)

    def enrol(self, role: Role, holder_id: str) -> None:
        """A holder of the generation that there is, as an earlier version wrote it down."""
        chain = self.authority.issue(make_request(make_key()), role, holder_id, host_name=HOST)
        record = Connector(name=f"{role} {holder_id}", role=role)
        result(self.authority.register(holder_id, record, chain, self.authority.newest))

    def holder(self, holder_id: str) -> Connector:
        """A holder's record."""
        item = result(self.store.get(CONNECTORS + holder_id))
        assert item is not None
        return read_connector(item)

    def follow(self) -> None:
        """The registry is told, as the edge's feed does."""
        listing = result(self.store.list(CONNECTORS))
        self.authority.follow(
            {item.key.removeprefix(CONNECTORS): read_connector(item) for item in listing.items}
        )

    def renew(self, holder_id: str, *roots: str) -> str:
        """
        A holder that says that it trusts these is renewed.

        @return: the hash of the root of its new certificate.
        """
        renewing = self.authority.renew(holder_id, make_request(make_key()), host_name=HOST, roots=roots)
        chain = chain_from_pem(result(renewing))
        self.follow()
        return fingerprint(root_of(chain, self.authority.roots))

    def rotate(self) -> tuple[str, str]:
        """
        A new generation.

        @return: the hashes of the old and the new root.
        """
        result(self.authority.rotate())
        return self.old.root_hash, self.authority.newest.root_hash

    def behind(self) -> set[str]:
        """Who depends on the old one."""
        found = result(Deferred.fromCoroutine(self.authority.behind()))
        return {each.role for each in found.values()}

    def test_both_trusted(self) -> None:
        """After it both roots are trusted, tokens pin the new one, for which the old one vouches."""
        old, new = self.rotate()
        self.assertEqual([fingerprint(each) for each in self.authority.roots], [old, new])
        self.assertEqual(self.authority.ca_sha256, new)
        followed = follow_roots([self.old.root], self.authority.announced, NOW)
        self.assertEqual(followed, self.authority.roots)

    def test_edge_keeps_its_tunnels(self) -> None:
        """That another root is trusted, too, is no reason to make tunnels anew; another certificate is."""
        changes: list[float | None] = []
        self.edge.changed(lambda _identity: changes.append(self.edge.former_seconds))
        old, new = self.rotate()
        self.assertEqual(changes, [None])
        self.renew("c", old, new)
        self.renew("r", old, new)
        self.assertGreater(changes[1] or 0.0, 300 * DAY)

    def test_nothing_told_before(self) -> None:
        """An installation that never rotated tells nothing of roots."""
        self.assertEqual(self.authority.announced, ())

    def test_in_turn(self) -> None:
        """
        Who says that it trusts the new root is renewed by it; servers show certificates of the old one until
        all do, then of the new one; then the old one can retire.
        """
        old, new = self.rotate()
        self.assertEqual(self.behind(), {"connector", "relay", "edge"})
        self.assertEqual(self.renew("c", old, new), new)
        self.assertEqual(self.renew("r", old, new), old)
        self.assertEqual(self.authority.serving, self.authority.newest)
        self.assertEqual(self.edge.current.is_outdated, False)
        self.assertEqual(self.behind(), {"relay"})
        self.failureResultOf(self.authority.retire(), NotNow)
        self.assertEqual(self.renew("r", old, new), new)
        self.assertEqual(self.behind(), set())
        self.assertEqual(result(self.authority.retire()), [])
        self.assertEqual(self.authority.roots, (self.authority.root,))
        self.assertEqual(self.edge.current.root_hashes, (new,))

    def test_who_says_nothing(self) -> None:
        """A holder of an earlier version, which knows of no roots, stays with the one that it has."""
        old, new = self.rotate()
        self.assertEqual(self.renew("c"), old)
        self.renew("r", old, new)
        self.assertEqual(self.authority.serving, self.old)
        self.assertTrue(self.edge.current.is_outdated)
        self.assertIn("connector c", self.failureResultOf(self.authority.retire(), NotNow).getErrorMessage())

    def test_forced(self) -> None:
        """By force it retires all the same: who depends on it is revoked, the edge itself moves on."""
        old, new = self.rotate()
        self.renew("c", old, new)
        self.assertEqual(result(self.authority.retire(force=True)), ["relay r"])
        self.assertTrue(self.holder("r").revoked_at)
        self.assertFalse(self.holder("c").revoked_at)
        self.assertEqual(self.edge.current.root_hashes, (new,))

    def test_restart(self) -> None:
        """The next start finds both, and who serves; after retirement it finds the new one alone."""
        old, new = self.rotate()
        again = self.open()
        self.assertEqual([each.root_hash for each in again.generations], [old, new])
        self.assertEqual(again.serving.root_hash, old)
        self.assertEqual(again.announced, self.authority.announced)
        result(self.authority.retire(force=True))
        self.assertEqual([each.root_hash for each in self.open().generations], [new])
        self.assertNotEqual(self.open().announced, (), "who was away still has to learn of it")

    def test_one_at_a_time(self) -> None:
        """There is no third before the first has retired; and nothing to retire before there is a second."""
        self.failureResultOf(self.authority.retire(), NotNow)
        self.rotate()
        self.failureResultOf(self.authority.rotate(), NotNow)

    def test_key_away(self) -> None:
        """Without the root's key there is no new one, since nobody would vouch for it; nothing is changed."""
        content = self.key_file.read_bytes()
        self.key_file.unlink()
        self.failureResultOf(self.authority.rotate(), IssuerAway)
        self.assertEqual(len(result(self.store.list(AUTHORITIES)).items), 1)
        self.assertEqual(list(self.keys.iterdir()), [])
        self.key_file.write_bytes(content)
        self.key_file.chmod(0o600)
        self.rotate()

    def test_key_away_at_the_end(self) -> None:
        """If it is taken away in between, the edge keeps its old certificate, and the old CA with it."""
        old, new = self.rotate()
        self.key_file.rename(self.keys / "aside")
        self.renew("c", old, new)
        self.failureResultOf(
            self.authority.renew("r", make_request(make_key()), roots=(old, new)), IssuerAway
        )
        self.failureResultOf(self.authority.retire(force=True), NotNow)
        self.assertEqual(len(self.authority.roots), 2)
        (self.keys / "aside").rename(self.key_file)
        self.assertEqual(result(self.authority.retire(force=True)), [])

    def test_crash_between_store_and_file(self) -> None:
        """If the process dies between the two writes, the new keys are found where they wait."""
        promote = type(self.authority._keys).promote
        self.patch(type(self.authority._keys), "promote", lambda _self: None)
        self.rotate()
        self.patch(type(self.authority._keys), "promote", promote)
        again = self.open()
        again.issue(make_request(make_key()), "relay", "x", host_name=HOST)
        self.assertEqual([path.name for path in self.keys.iterdir()], ["infrastructure.key"])

    def test_crash_before_the_store(self) -> None:
        """If it dies before, the next attempt begins anew, and the old keys are still those in use."""
        Path(f"{self.key_file}.next").write_bytes(b"left")
        self.authority.issue(make_request(make_key()), "relay", "x", host_name=HOST)
        self.rotate()
        self.authority.issue(make_request(make_key()), "relay", "x", host_name=HOST)
