"""
Tests of L{appproxy.pki.server_identity}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki.authority import IssuerAway, NotTrusted, read_connector
from appproxy.pki.certificates import host_names, opened_groups
from appproxy.pki.identity import Identity, load
from appproxy.pki.server_identity import CHECK_INTERVAL, ServerIdentity, ensure_server_identity
from appproxy.store.keys import CONNECTORS
from tests.pki.support import DAY, HOST, NOW, clock_now, new_folder, open_authority, result
from tests.store.support import memory_store


class ServerIdentityTests(SynchronousTestCase):
    """The edge's certificate for the connect host."""

    def setUp(self) -> None:
        """An authority, and the edge's folder."""
        self.clock = clock_now()
        self.store = memory_store(self.clock)
        self.keys = new_folder(self.mktemp())
        self.authority = open_authority(self.clock, self.keys, self.store)
        self.folder = new_folder(self.mktemp()) / "identity"

    def ensure(self, host: str = HOST) -> Deferred[Identity]:
        """Ask for an identity that is good."""
        return ensure_server_identity(self.authority, self.folder, host)

    def take_key_away(self) -> None:
        """Keep the infrastructure's key off the machine."""
        (self.keys / "infrastructure.key").unlink()

    def test_made(self) -> None:
        """The first time an identity is made, and written down with its role."""
        identity = result(self.ensure())
        self.assertEqual((identity.role, identity.connect_host), ("edge", HOST))
        self.assertEqual(host_names(identity.chain[0]), (HOST,))
        self.assertEqual(opened_groups(identity.chain[0]), {"*"})
        item = result(self.store.get(CONNECTORS + identity.id))
        assert item is not None
        record = read_connector(item)
        self.assertEqual((record.role, record.name), ("edge", "edge"))
        self.assertEqual(record.fingerprints, (identity.fingerprint,))

    def test_same_again(self) -> None:
        """After a restart it is the same one."""
        self.assertEqual(result(self.ensure()).fingerprint, result(self.ensure()).fingerprint)

    def test_other_host(self) -> None:
        """When the connect host changes, a new one is made for it."""
        result(self.ensure())
        identity = result(self.ensure("connect.other.example"))
        self.assertEqual(host_names(load(self.folder).chain[0]), ("connect.other.example",))
        self.assertEqual(identity.connect_host, "connect.other.example")

    def test_other_ca(self) -> None:
        """An identity of another CA, such as before a store was replaced, is not used."""
        before = result(self.ensure())
        self.authority = open_authority(self.clock, new_folder(self.mktemp()))
        after = result(self.ensure())
        self.assertNotEqual(after.ca_pem, before.ca_pem)

    def test_key_away(self) -> None:
        """Without the issuer's key none is made; one that is still good goes on, with a warning when due."""
        self.keys.joinpath("infrastructure.key").rename(self.keys / "aside")
        self.failureResultOf(self.ensure(), IssuerAway)
        (self.keys / "aside").rename(self.keys / "infrastructure.key")
        first = result(self.ensure())
        self.take_key_away()
        self.clock.advance(300 * DAY)
        with capturedLogs() as events:
            self.assertEqual(result(self.ensure()).fingerprint, first.fingerprint)
        self.assertEqual([event["event"] for event in events], ["certificate_due"])
        self.clock.advance(66 * DAY)
        self.failureResultOf(self.ensure(), IssuerAway)

    def test_renewed_while_running(self) -> None:
        """A certificate that is due is replaced in a running edge, under its id; whoever asked is told."""
        keeper = ServerIdentity(self.authority, self.folder, HOST)
        self.addCleanup(keeper.stop)
        told: list[Identity] = []
        keeper.changed(told.append)
        first = result(keeper.start())
        self.clock.advance(CHECK_INTERVAL)
        self.assertEqual(told, [])
        self.clock.advance(250 * DAY)
        self.assertEqual([identity.fingerprint for identity in told], [keeper.current.fingerprint])
        self.assertNotEqual(keeper.current.fingerprint, first.fingerprint)
        self.assertEqual(keeper.current.id, first.id)
        self.assertGreater(keeper.current.expires_at, NOW + 600 * DAY)

    def test_stopped(self) -> None:
        """A stopped keeper waits for nothing."""
        keeper = ServerIdentity(self.authority, self.folder, HOST)
        result(keeper.start())
        keeper.stop()
        keeper.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_store_away(self) -> None:
        """If the store is away when a renewal is due, that is logged, and tried again an hour later."""
        keeper = ServerIdentity(self.authority, self.folder, HOST)
        self.addCleanup(keeper.stop)
        first = result(keeper.start())
        result(self.store.close())
        self.clock.advance(250 * DAY)
        self.assertEqual(keeper.current.fingerprint, first.fingerprint)
        self.assertGreater(len(self.flushLoggedErrors()), 0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_revoked(self) -> None:
        """A revoked edge does not renew itself back to trust."""
        identity = result(self.ensure())
        result(self.authority.revoke(identity.id))
        self.clock.advance(250 * DAY)
        self.failureResultOf(self.ensure(), NotTrusted)
