"""
Tests of L{appproxy.pki.authority}.
"""

from __future__ import annotations

import stat
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.application import Connector
from appproxy.pki.authority import (
    KEPT_FINGERPRINTS,
    Authority,
    IssuerAway,
    NotTrusted,
    make_infrastructure_keys,
    put_connector,
    read_connector,
)
from appproxy.pki.certificates import (
    CLIENT_USAGE,
    SERVER_USAGE,
    RequestRefused,
    chain_from_pem,
    fingerprint,
    make_key,
    make_request,
    verify_chain,
)
from appproxy.store.keys import AUTHORITIES, CONNECTORS
from appproxy.store.sealing import KEY_SIZE, SealBroken, Sealer
from tests.pki.support import DAY, HOST, NOW, SEALER, clock_now, new_folder, open_authority, result
from tests.store.support import memory_store


class AuthorityTestCase(SynchronousTestCase):
    """An authority in memory."""

    def setUp(self) -> None:
        """A store with a CA, and one connector."""
        self.clock = clock_now()
        self.store = memory_store(self.clock)
        self.folder = new_folder(self.mktemp())
        self.key_file = self.folder / "infrastructure.key"
        self.authority = open_authority(self.clock, self.folder, self.store)
        self.register("abc", Connector(name="one", group="hq"))

    def register(self, holder_id: str, connector: Connector) -> None:
        """Write a holder's record."""
        result(self.store.transact(puts=[put_connector(holder_id, connector)]))

    def record(self, holder_id: str = "abc") -> Connector:
        """A holder's record."""
        item = result(self.store.get(CONNECTORS + holder_id))
        assert item is not None
        return read_connector(item)

    def request(self) -> bytes:
        """A signing request with a new key."""
        return make_request(make_key())


class OpenTests(AuthorityTestCase):
    """Making and finding the CA."""

    def test_same_again(self) -> None:
        """The CA is made once: who opens it later gets the same one."""
        again = open_authority(self.clock, self.folder, self.store)
        self.assertEqual(again.ca_sha256, self.authority.ca_sha256)
        self.assertEqual(again.ca_pem, self.authority.ca_pem)
        self.assertEqual(len(result(self.store.list(AUTHORITIES)).items), 1)

    def test_nothing_in_clear(self) -> None:
        """
        No private key stands in the store in clear, and the infrastructure's not even sealed.

        Security row 41.
        """
        (item,) = result(self.store.list(AUTHORITIES)).items
        self.assertNotIn(b"PRIVATE", item.value)
        opened = SEALER.unseal(item.key, item.value)
        self.assertEqual(opened.count(b"BEGIN PRIVATE KEY"), 1)
        for block in self.key_file.read_bytes().split(b"-----END PRIVATE KEY-----")[:2]:
            self.assertNotIn(block.split(b"KEY-----\n")[1].split(b"\n")[0], opened)

    def test_key_file(self) -> None:
        """The file of the infrastructure's keys is its owner's only, and is never made a second time."""
        self.assertEqual(stat.S_IMODE(self.key_file.stat().st_mode), 0o600)
        before = self.key_file.read_bytes()
        make_infrastructure_keys(self.key_file)
        self.assertEqual(self.key_file.read_bytes(), before)

    def test_keys_made_before(self) -> None:
        """A key file that was made before the CA (by init) is the one that it uses."""
        folder = new_folder(self.mktemp())
        make_infrastructure_keys(folder / "infrastructure.key")
        before = (folder / "infrastructure.key").read_bytes()
        authority = open_authority(self.clock, folder)
        self.assertTrue(authority.has_infrastructure_key)
        self.assertEqual((folder / "infrastructure.key").read_bytes(), before)

    def test_other_store_key(self) -> None:
        """With another store key the CA does not open, and no second CA is made."""
        opened = Authority.open(self.store, Sealer(b"x" * KEY_SIZE), self.clock, self.key_file)
        self.failureResultOf(opened, SealBroken)
        self.assertEqual(len(result(self.store.list(AUTHORITIES)).items), 1)

    def test_two_edges_at_once(self) -> None:
        """Of two edges that make a CA at once, both use the one that was first."""
        store = memory_store(self.clock)
        first = open_authority(self.clock, self.folder, store)
        listings = iter([store.list("/nothing/"), store.list(AUTHORITIES)])
        self.patch(store, "list", lambda prefix: next(listings))
        second = result(Authority.open(store, SEALER, self.clock, self.folder / "other.key"))
        self.assertEqual(second.ca_sha256, first.ca_sha256)
        self.assertFalse(second.has_infrastructure_key)


class IssueTests(AuthorityTestCase):
    """Issuing."""

    def test_connector(self) -> None:
        """A connector gets a chain that the root vouches for, as a client."""
        chain = chain_from_pem(self.authority.issue(self.request(), "connector", "abc"))
        peer = verify_chain(chain, self.authority.root, roles=["connector"], usage=CLIENT_USAGE, now=NOW)
        self.assertEqual((peer.role, peer.id, len(chain)), ("connector", "abc", 2))

    def test_relay(self) -> None:
        """A relay gets a chain for the connect host; newcomers find the root in it by its hash."""
        chain = chain_from_pem(self.authority.issue(self.request(), "relay", "abc", host_name=HOST))
        verify_chain(chain, self.authority.root, roles=["relay"], usage=SERVER_USAGE, now=NOW, host_name=HOST)
        self.assertEqual(fingerprint(chain[-1]), self.authority.ca_sha256)

    def test_key_away(self) -> None:
        """Without the infrastructure's key there are connectors, but no edges or relays; with it, at once."""
        aside = self.folder / "aside.key"
        self.key_file.rename(aside)
        self.assertFalse(self.authority.has_infrastructure_key)
        self.authority.issue(self.request(), "connector", "abc")
        for role in ("edge", "relay"):
            self.assertRaises(IssuerAway, self.authority.issue, self.request(), role, "abc")
        aside.rename(self.key_file)
        self.authority.issue(self.request(), "relay", "abc", host_name=HOST)

    def test_wrong_key(self) -> None:
        """A key file of another CA, open to others, or of junk is refused, and never told."""
        good = self.key_file.read_bytes()
        self.key_file.unlink()
        make_infrastructure_keys(self.key_file)
        self.assertRaises(IssuerAway, self.authority.issue, self.request(), "edge", "abc")
        for content in (b"", b"junk", good[:100], good * 2):
            self.key_file.write_bytes(content)
            self.assertRaises(IssuerAway, self.authority.issue, self.request(), "edge", "abc")
        self.key_file.write_bytes(good)
        self.key_file.chmod(0o644)
        with self.assertRaises(IssuerAway) as caught:
            self.authority.issue(self.request(), "edge", "abc")
        self.assertNotIn("BEGIN", str(caught.exception))

    def test_bad_request(self) -> None:
        """A flawed request gets nothing."""
        self.assertRaises(RequestRefused, self.authority.issue, b"junk", "connector", "abc")


class RenewTests(AuthorityTestCase):
    """Renewal and revocation."""

    def renew(self, holder_id: str = "abc") -> Deferred[bytes]:
        """Renew a holder's certificate."""
        return self.authority.renew(holder_id, self.request(), host_name=HOST)

    def refused(self, holder_id: str = "abc") -> str:
        """Why a renewal is refused."""
        error = self.failureResultOf(self.renew(holder_id), NotTrusted).value
        assert isinstance(error, NotTrusted)
        return error.reason

    def test_renewed(self) -> None:
        """A renewed certificate is written down, names the same holder, and runs for thirty days from now."""
        self.clock.advance(20 * DAY)
        certificate = chain_from_pem(result(self.renew()))[0]
        record = self.record()
        self.assertEqual(record.fingerprints, (fingerprint(certificate),))
        self.assertEqual(certificate.not_valid_after_utc.timestamp(), NOW + 50 * DAY)
        self.assertEqual((record.name, record.group), ("one", "hq"))

    def test_fingerprints_are_bounded(self) -> None:
        """Only the last certificates are remembered."""
        for _ in range(KEPT_FINGERPRINTS + 3):
            last = chain_from_pem(result(self.renew()))[0]
        self.assertEqual(len(self.record().fingerprints), KEPT_FINGERPRINTS)
        self.assertEqual(self.record().fingerprints[-1], fingerprint(last))

    def test_revoked(self) -> None:
        """Who is revoked gets no new certificate; revoking again keeps the first time."""
        result(self.authority.revoke("abc"))
        first = self.record().revoked_at
        self.assertEqual(first, "2027-01-15T08:00:00Z")
        self.assertEqual(self.refused(), "revoked")
        self.clock.advance(5)
        result(self.authority.revoke("abc"))
        self.assertEqual(self.record().revoked_at, first)

    def test_revocation_is_told(self) -> None:
        """Whoever watches the connectors learns of a revocation before the revoker does."""
        told: list[object] = []
        known = result(self.store.list(CONNECTORS)).revision
        self.store.watch(CONNECTORS, known, lambda events: told.extend(event.key for event in events))
        result(self.authority.revoke("abc"))
        self.assertEqual(told, [CONNECTORS + "abc"])

    def test_unknown(self) -> None:
        """Nobody unknown is renewed or revoked, whatever the id looks like."""
        for holder_id in ("xyz", "", "../pki/ca/1", "a b"):
            self.assertEqual(self.refused(holder_id), "unknown")
            self.failureResultOf(self.authority.revoke(holder_id), NotTrusted)

    def test_deleted(self) -> None:
        """A connector whose record was deleted gets no new certificate."""
        result(self.store.transact(deletes=[CONNECTORS + "abc"]))
        self.assertEqual(self.refused(), "unknown")

    def test_relay(self) -> None:
        """A relay is renewed with its host name while the issuer's key is there, and not without."""
        self.register("rel", Connector(name="relay", role="relay"))
        chain = chain_from_pem(result(self.renew("rel")))
        verify_chain(chain, self.authority.root, roles=["relay"], usage=SERVER_USAGE, now=NOW, host_name=HOST)
        self.key_file.unlink()
        self.failureResultOf(self.renew("rel"), IssuerAway)

    def test_edge(self) -> None:
        """Nobody becomes an edge by renewal."""
        self.register("edg", Connector(name="edge", role="edge"))
        self.assertEqual(self.refused("edg"), "wrong_role")

    def test_bad_request(self) -> None:
        """A renewal's request may not name anything either."""
        self.failureResultOf(self.authority.renew("abc", b"junk"), RequestRefused)

    def test_revoked_meanwhile(self) -> None:
        """A revocation that comes between reading and writing wins."""
        transact = self.store.transact

        def late(*arguments: Any) -> Deferred[int]:
            self.patch(self.store, "transact", transact)
            result(self.authority.revoke("abc"))
            return transact(*arguments)

        self.patch(self.store, "transact", late)
        error = self.failureResultOf(self.authority.renew("abc", self.request()), NotTrusted).value
        self.assertEqual(str(error), "revoked")
        self.assertNotEqual(self.record().revoked_at, "")
