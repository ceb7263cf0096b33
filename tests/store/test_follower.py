"""Tests of L{appproxy.store.follower}."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from appproxy.store.follower import HEARTBEAT_SECONDS, RETRY_SECONDS, Follower
from appproxy.store.istore import Event, Listing, Put
from appproxy.store.patience import ANSWER_SECONDS
from tests.store.breakable import BreakableStore
from tests.store.support import memory_store

PREFIX = "/a/"


class FollowerTests(SynchronousTestCase):
    """A follower keeps in step with a store, and says when it cannot."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.real_store = memory_store(self.clock)
        self.addCleanup(self.real_store.close)
        self.store = BreakableStore(self.real_store)
        self.read: list[list[str]] = []
        self.changed: list[str] = []
        self.broken = 0
        self.follower = Follower(
            self.store, PREFIX, self.clock, self.have_read, self.have_changed, self.have_broken
        )
        self.addCleanup(self.follower.stop)

    def have_read(self, listing: Listing) -> None:
        """The follower's owner is given all."""
        self.read.append([item.key for item in listing.items])

    def have_changed(self, events: Sequence[Event]) -> None:
        """The follower's owner is given changes."""
        self.changed += [event.key for event in events]

    def have_broken(self) -> None:
        """The follower's owner is told not to trust any of it."""
        self.broken += 1

    def start(self) -> Deferred[None]:
        """Begin."""
        return self.follower.start()

    def put(self, key: str) -> None:
        """Somebody writes, past the line."""
        self.successResultOf(self.real_store.transact(puts=[Put(key, b"{}")]))

    def test_follows(self) -> None:
        """First comes everything, then each change under the prefix, and no other."""
        self.put("/a/1")
        self.successResultOf(self.start())
        self.assertTrue(self.follower.in_step)
        self.put("/a/2")
        self.put("/b/1")
        self.assertEqual((self.read, self.changed), ([["/a/1"]], ["/a/2"]))

    def test_reads_again(self) -> None:
        """After the store was lost all is read again, and only then the follower is in step."""
        self.successResultOf(self.start())
        self.store.cut()
        self.put("/a/1")
        self.clock.advance(RETRY_SECONDS)
        self.assertFalse(self.follower.in_step)
        self.assertEqual((self.broken, self.follower.lost_since), (1, 0.0))
        self.store.mend()
        self.clock.advance(RETRY_SECONDS)
        self.assertTrue(self.follower.in_step)
        self.assertEqual((self.read, self.changed, self.follower.generation), ([[], ["/a/1"]], [], 2))
        self.put("/a/2")
        self.assertEqual(self.changed, ["/a/2"])

    def test_in_step_while_telling(self) -> None:
        """Whoever is given a full read may trust it: the follower is in step by then."""
        told: list[bool] = []
        self.follower._read = lambda listing: told.append(self.follower.in_step)
        self.successResultOf(self.start())
        self.store.cut()
        self.store.mend()
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(told, [True, True])

    def test_store_away_at_first(self) -> None:
        """A store that is away at first is tried again until it is there; one line says so."""
        self.store.cut()
        with capturedLogs() as logs:
            started = self.start()
            self.clock.pump([RETRY_SECONDS] * 20)
        self.assertEqual([each["log_level"] for each in logs], [LogLevel.warn])
        self.assertNoResult(started)
        self.assertFalse(self.follower.in_step)
        self.store.mend()
        self.clock.advance(RETRY_SECONDS)
        self.successResultOf(started)

    def test_silent_store(self) -> None:
        """A store that hangs is noticed, though its watch says nothing; reading does not wait for ever."""
        self.successResultOf(self.start())
        self.store.hang()
        self.clock.pump([1.0] * int(HEARTBEAT_SECONDS + ANSWER_SECONDS))
        self.assertFalse(self.follower.in_step)
        self.clock.pump([1.0] * int(RETRY_SECONDS + ANSWER_SECONDS))
        self.store.mend()
        self.clock.pump([RETRY_SECONDS] * 2)
        self.assertTrue(self.follower.in_step)

    def test_bug(self) -> None:
        """An owner that fails at a full read is given another; the bug is logged once."""

        def fail(listing: Listing) -> None:
            raise RuntimeError("an owner's bug")

        self.follower._read = fail
        started = self.start()
        self.clock.pump([RETRY_SECONDS] * 3)
        self.assertNoResult(started)
        self.assertEqual((self.follower.in_step, self.follower.lost_since), (False, 0.0))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.follower._read = self.have_read
        self.clock.advance(RETRY_SECONDS)
        self.successResultOf(started)

    def test_stop(self) -> None:
        """Whoever stops hears nothing more, in whatever state, and no timer is left."""
        for state in (self.store.mend, self.store.cut, self.store.hang):
            with self.subTest(state.__name__):
                follower = Follower(self.store, PREFIX, self.clock, self.have_read, self.have_changed)
                state()
                follower.start()
                follower.stop()
                self.assertFalse(follower.in_step)
                self.assertEqual(self.clock.getDelayedCalls(), [])
        self.put("/a/1")
        self.assertEqual(self.changed, [])
