"""Tests of the catalog followed in a real store."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.apply import apply
from appproxy.catalog.documents import Document, encode, key_of
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed, read_catalog
from appproxy.catalog.plan import plan
from appproxy.catalog.snapshot import Catalog
from appproxy.store.follower import RETRY_SECONDS
from appproxy.store.istore import Conflict, Put
from appproxy.store.keys import CATALOG, CONNECTORS, encode_document
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker
from tests.catalog.examples import application, group, read
from tests.store.breakable import BreakableStore


class StoreTestCase(SynchronousTestCase):
    """A store in memory, which answers at once."""

    def setUp(self) -> None:
        """Open it."""
        self.clock = Clock()
        self.store = self.successResultOf(SqliteStore.open(IN_MEMORY, self.clock, InlineWorker()))
        self.addCleanup(self.store.close)

    def put(self, key: str, value: bytes) -> int:
        """Write one document past every check."""
        return self.successResultOf(self.store.transact(puts=[Put(key, value)]))

    def feed(self) -> CatalogFeed:
        """A feed that has read the catalog."""
        feed = CatalogFeed(self.store, self.clock)
        self.successResultOf(feed.start())
        self.addCleanup(feed.stop)
        return feed

    def apply(self, document: Document, prune: bool = False) -> int:
        """Make the catalog what a file asks for."""
        catalog = self.successResultOf(read_catalog(self.store))
        changes = plan(catalog, document, prune)
        return self.successResultOf(apply(self.store, changes, catalog.revision))


class ApplyTests(StoreTestCase):
    """Planned changes reach the store, all or none."""

    def test_applied(self) -> None:
        """What was applied is what the catalog then is, and a second plan is empty."""
        self.apply(read())
        catalog = self.successResultOf(read_catalog(self.store))
        self.assertEqual(catalog.applications, read().applications)
        self.assertEqual(plan(catalog, read(), prune=True), [])

    def test_prune(self) -> None:
        """What is removed is gone from the store."""
        self.apply(read())
        self.apply(Document(), prune=True)
        self.assertEqual(self.successResultOf(self.store.list(CATALOG)).items, ())

    def test_changed_meanwhile(self) -> None:
        """A plan that somebody overtook is refused, and nothing of it is made."""
        catalog = self.successResultOf(read_catalog(self.store))
        self.put(key_of("connector_group", "other"), encode(group("Other")))
        self.failureResultOf(apply(self.store, plan(catalog, read(), False), catalog.revision), Conflict)
        self.assertEqual(set(self.successResultOf(read_catalog(self.store)).groups), {"other"})

    def test_other_keys_do_not_matter(self) -> None:
        """Sessions that come and go do not make a plan stale."""
        catalog = self.successResultOf(read_catalog(self.store))
        self.put("/appproxy/1/sessions/x", b"{}")
        self.successResultOf(apply(self.store, plan(catalog, read(), False), catalog.revision))

    def test_nothing_to_do(self) -> None:
        """An empty plan touches nothing."""
        self.assertEqual(self.successResultOf(apply(self.store, [], 5)), 5)


class FeedTests(StoreTestCase):
    """The feed's copy follows the store."""

    def test_first_read(self) -> None:
        """After the start the feed is ready, with everything."""
        self.apply(read())
        feed = self.feed()
        self.assertTrue(feed.is_ready)
        self.assertEqual(set(feed.current.applications), {"wiki", "caldav"})

    def test_follows(self) -> None:
        """An applied change is in the next snapshot, of that revision, before apply has answered."""
        feed = self.feed()
        told: list[Catalog] = []
        feed.changed(told.append)
        revision = self.apply(read())
        self.assertEqual([catalog.revision for catalog in told], [revision])
        self.assertIs(told[0], feed.current)
        self.assertIsNotNone(feed.current.route(b"wiki.apps.example.com", "/"))

    def test_deletion(self) -> None:
        """A removed application is routed no more; the others stay the same objects."""
        self.apply(read())
        feed = self.feed()
        wiki = feed.current.published["wiki"]
        kept = Document({"wiki": read().applications["wiki"]}, read().groups)
        self.apply(kept, prune=True)
        self.assertIsNone(feed.current.route(b"cal.apps.example.com", "/"))
        self.assertIs(feed.current.published["wiki"], wiki)

    def test_reached(self) -> None:
        """Whoever waits for a revision is told when it is current; who gives up is forgotten."""
        feed = self.feed()
        waiting = feed.reached(feed.current.revision + 1)
        cancelled = feed.reached(feed.current.revision + 1)
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        self.assertNoResult(waiting)
        revision = self.apply(read())
        self.successResultOf(waiting)
        self.successResultOf(feed.reached(revision))

    def test_listeners(self) -> None:
        """A listener that fails stops no other; one that left hears nothing."""
        feed = self.feed()
        told: list[Catalog] = []

        def fail(_catalog: Catalog) -> None:
            raise RuntimeError("a listener's bug")

        feed.changed(fail)
        feed.changed(told.append)
        gone: list[Catalog] = []
        feed.changed(gone.append)()
        self.apply(read())
        self.assertEqual((len(told), len(gone)), (1, 0))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_unreadable(self) -> None:
        """A document that cannot be read is left out, and the others are served."""
        feed = self.feed()
        self.put(key_of("application", "broken"), b'{"v":1,"name":"x"}')
        self.put(key_of("application", "newer"), b'{"v":2}')
        self.put(key_of("application", "wiki"), encode(application()))
        self.assertEqual(set(feed.current.applications), {"wiki"})
        self.put(key_of("application", "wiki"), b'{"v":2}')
        self.assertEqual(set(feed.current.applications), set())


class BrokenWatchTests(StoreTestCase):
    """A store that goes away and comes back."""

    def test_reads_again(self) -> None:
        """
        Once the store is back everything is read again, and the feed ready before it
        tells; meanwhile it is not. What did not change stays the same object.
        """
        self.apply(read())
        line = BreakableStore(self.store)
        feed = CatalogFeed(line, self.clock)
        self.successResultOf(feed.start())
        self.addCleanup(feed.stop)
        caldav = feed.current.published["caldav"]
        told: list[bool] = []
        feed.changed(lambda _: told.append(feed.is_ready))
        line.cut()
        self.put(key_of("connector_group", "new"), encode(group("New")))
        self.successResultOf(self.store.transact(deletes=[key_of("application", "wiki")]))
        self.assertIn("wiki", feed.current.applications)
        self.assertFalse(feed.is_ready)
        line.mend()
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(told, [True])
        self.assertEqual(set(feed.current.applications), {"caldav"})
        self.assertIs(feed.current.published["caldav"], caldav)
        self.assertIn("new", feed.current.groups)


class ConnectorFeedTests(StoreTestCase):
    """The registry of connectors."""

    def test_follows(self) -> None:
        """Enrolled, revoked, forgotten: each is there at once; the unreadable is as if forgotten."""
        feed = ConnectorFeed(self.store, self.clock)
        self.successResultOf(feed.start())
        self.addCleanup(feed.stop)
        told: list[set[str]] = []
        feed.changed(lambda connectors: told.append(set(connectors)))
        key = f"{CONNECTORS}c1"
        self.put(key, encode_document({"name": "c1", "group": "hq"}))
        self.assertEqual(feed.current["c1"].group, "hq")
        self.put(key, encode_document({"name": "c1", "group": "hq", "revoked_at": "2026-01-01T00:00:00Z"}))
        self.assertTrue(feed.current["c1"].revoked_at)
        self.put(key, b"junk")
        self.assertEqual(told, [{"c1"}, {"c1"}, set()])
