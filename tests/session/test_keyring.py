"""Tests of L{appproxy.session.keyring}."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs

from appproxy.session.keyring import ACTIVATION_SECONDS, CHECK_SECONDS, NEW_KEY_SECONDS, Keyring
from appproxy.session.seals import BadSeal, Purpose
from appproxy.store.istore import Put
from appproxy.store.sealing import Sealer
from tests.session.support import EdgeTestCase

DAY = NEW_KEY_SECONDS


class KeyringTests(EdgeTestCase):
    """A ring that edges share through the store."""

    def numbers(self) -> list[str]:
        """The numbers of the keys in the store."""
        listing = self.successResultOf(self.real_store.list("/appproxy/1/keys/cookie/"))
        return [item.key.rpartition("/")[2] for item in listing.items]

    def test_first_key(self) -> None:
        """The first edge makes the first key, and can seal at once."""
        self.assertEqual(self.numbers(), ["1"])
        self.assertTrue(self.edge.keyring.ready)
        self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")

    def test_shared(self) -> None:
        """What one edge seals another opens; the second makes no key of its own."""
        other = self.make_edge()
        token = self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")
        self.assertEqual(other.keyring.unseal(Purpose.TICKET, b"host", token), b"data")
        self.assertEqual(self.numbers(), ["1"])

    def test_daily(self) -> None:
        """Every day brings one new key, however many edges there are."""
        self.make_edge()
        self.pass_time(DAY + CHECK_SECONDS, CHECK_SECONDS)
        self.assertEqual(self.numbers(), ["1", "2"])

    def test_activation(self) -> None:
        """A new key is used only after others had time to hear of it."""
        self.pass_time(DAY, CHECK_SECONDS)
        self.pass_time(CHECK_SECONDS, 1)
        self.pass_time(ACTIVATION_SECONDS + CHECK_SECONDS, CHECK_SECONDS)
        self.assertEqual(self.numbers(), ["1", "2"])
        self.assertEqual(self.edge.keyring._keys.current, 2)

    def test_not_used_at_once(self) -> None:
        """Right after a new key came into being, the old one is still used."""
        before = self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")[:6]
        while len(self.numbers()) == 1:
            self.pass_time(1)
        self.assertEqual(self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")[:6], before)

    def test_old_keys_go(self) -> None:
        """A key is kept for as long as a session can last, and then no longer."""
        token = self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")
        self.pass_time(DAY + self.lifetimes.maximum_lifetime, CHECK_SECONDS)
        self.edge.keyring.unseal(Purpose.TICKET, b"host", token)
        self.pass_time(4 * CHECK_SECONDS, CHECK_SECONDS)
        with self.assertRaises(BadSeal):
            self.edge.keyring.unseal(Purpose.TICKET, b"host", token)
        self.assertNotIn("1", self.numbers())

    def test_long_run(self) -> None:
        """After a month there are as few keys as needed, and sealing works."""
        self.pass_time(30 * DAY, CHECK_SECONDS)
        self.assertLessEqual(len(self.numbers()), 4)
        token = self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")
        self.assertEqual(self.edge.keyring.unseal(Purpose.TICKET, b"host", token), b"data")

    def test_replace(self) -> None:
        """Replacing the ring voids every token at every edge, and goes on with a new key."""
        other = self.make_edge()
        token = self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")
        self.successResultOf(self.edge.keyring.replace())
        for edge in (self.edge, other):
            with self.assertRaises(BadSeal):
                edge.keyring.unseal(Purpose.TICKET, b"host", token)
            fresh = edge.keyring.seal(Purpose.TICKET, b"host", b"data")
            self.assertEqual(self.edge.keyring.unseal(Purpose.TICKET, b"host", fresh), b"data")
        self.assertEqual(self.numbers(), ["2"])

    def test_sealed_at_rest(self) -> None:
        """
        The ring in the store opens only with the key outside of it.

        Security row 41.
        """
        self.assertNotIn(b"secret", self.stored("/appproxy/1/keys/cookie/1"))
        self.edge.keyring.stop()
        thief = Keyring(self.real_store, Sealer(b"x" * 32), self.clock, 3600.0)
        with capturedLogs() as logs:
            self.assertNoResult(thief.start())
        self.addCleanup(thief.stop)
        self.assertFalse(thief.ready)
        self.assertIn(LogLevel.error, [each["log_level"] for each in logs])

    def test_rubbish_in_the_store(self) -> None:
        """A document that is no key of ours is passed over."""
        sealed = self.edge.sealer.seal("/appproxy/1/keys/cookie/7", b'{"v":1,"secret":"AAAA"}')
        puts = [Put("/appproxy/1/keys/cookie/7", sealed), Put("/appproxy/1/keys/cookie/x", b"rubbish")]
        with capturedLogs() as logs:
            self.successResultOf(self.real_store.transact([], puts))
        self.assertEqual([each["log_level"] for each in logs], [LogLevel.error] * 2)
        self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")

    def test_store_away(self) -> None:
        """While the store is away, the keys that are known go on."""
        token = self.edge.keyring.seal(Purpose.TICKET, b"host", b"data")
        self.edge.store.cut()
        self.pass_time(DAY + CHECK_SECONDS, CHECK_SECONDS)
        self.assertEqual(self.edge.keyring.unseal(Purpose.TICKET, b"host", token), b"data")
        self.edge.store.mend()
        self.pass_time(2 * CHECK_SECONDS, CHECK_SECONDS)
        self.assertEqual(self.numbers(), ["1", "2"])

    def test_starts_late(self) -> None:
        """A ring that cannot make its first key keeps trying until it can."""
        self.successResultOf(self.edge.keyring.replace())
        self.edge.keyring.stop()
        self.successResultOf(self.real_store.transact([], [], ["/appproxy/1/keys/cookie/2"]))
        late = self.edge.keyring = Keyring(self.edge.store, self.edge.sealer, self.clock, 3600.0)
        self.edge.store.cut()
        starting = late.start()
        self.addCleanup(late.stop)
        self.pass_time(5)
        self.assertNoResult(starting)
        self.edge.store.mend()
        self.pass_time(3)
        self.successResultOf(starting)
        self.assertTrue(late.ready)
