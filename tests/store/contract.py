"""
What every store promises, as tests that any implementation can run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from twisted.trial.unittest import TestCase

from appproxy.store.istore import (
    MAXIMUM_VALUE_SIZE,
    Compare,
    Conflict,
    Event,
    IStore,
    Item,
    LeaseNotFound,
    PrefixUnchanged,
    Put,
    StoreError,
    StoreUnavailable,
)

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object

_E = TypeVar("_E", bound=BaseException)


class StoreContract(_Base):
    """
    Mix into a L{TestCase}.

    @ivar store: an empty store, made in C{setUp}.
    """

    store: IStore

    async def advance(self, seconds: float) -> None:
        """Let time pass for the store, and let it tell what came of it."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let what has happened be told to watchers, where that takes time."""

    async def raises(self, kind: type[_E], awaitable: Awaitable[object]) -> _E:
        """What an operation failed with, which has to be of this kind."""
        try:
            await awaitable
        except kind as error:
            return error
        raise AssertionError(f"{kind.__name__} not raised")

    async def put(self, key: str, value: bytes = b"{}", lease: int | None = None) -> int:
        """Write one document."""
        return await self.store.transact(puts=[Put(key, value, lease)])

    def recorder(self) -> tuple[list[Sequence[Event]], Callable[[Sequence[Event]], None]]:
        """A list of what a watcher was told, and the watcher's callback."""
        told: list[Sequence[Event]] = []
        return told, told.append

    async def test_absent(self) -> None:
        """A key that was never written is absent, and its folder empty."""
        self.assertIsNone(await self.store.get("/a/x"))
        self.assertEqual((await self.store.list("/a/")).items, ())

    async def test_put_get(self) -> None:
        """What is written is read back, byte for byte, with its revisions."""
        value = bytes(range(256))
        first = await self.put("/a/x", value)
        self.assertEqual(await self.store.get("/a/x"), Item("/a/x", value, first, first))
        second = await self.put("/a/x", b"")
        self.assertGreater(second, first)
        self.assertEqual(await self.store.get("/a/x"), Item("/a/x", b"", first, second))

    async def test_created_anew(self) -> None:
        """A document that is deleted and written again is a new one."""
        first = await self.put("/a/x")
        await self.store.transact(deletes=["/a/x"])
        third = await self.put("/a/x")
        item = await self.store.get("/a/x")
        assert item is not None
        self.assertEqual((item.created, item.revision), (third, third))
        self.assertEqual(third, first + 2)

    async def test_list(self) -> None:
        """A listing has what is under the prefix, in order, and nothing beside it."""
        for key in ("/a/y", "/a/x", "/ab/z", "/a", "/a0", "/a/b/c", "/a-/x"):
            await self.put(key)
        listing = await self.store.list("/a/")
        self.assertEqual([item.key for item in listing.items], ["/a/b/c", "/a/x", "/a/y"])
        self.assertEqual(listing.revision, 7)
        self.assertEqual(len((await self.store.list("/")).items), 7)

    async def test_transaction_is_one_revision(self) -> None:
        """All changes of a transaction share one revision."""
        await self.put("/a/old")
        revision = await self.store.transact(
            puts=[Put("/a/x", b"1"), Put("/a/y", b"2")], deletes=["/a/old", "/a/absent"]
        )
        listing = await self.store.list("/a/")
        self.assertEqual({item.revision for item in listing.items}, {revision})
        self.assertEqual([item.key for item in listing.items], ["/a/x", "/a/y"])

    async def test_nothing_changed(self) -> None:
        """A transaction that changes nothing makes no revision."""
        revision = await self.put("/a/x")
        self.assertEqual(await self.store.transact(deletes=["/a/absent"]), revision)
        self.assertEqual(await self.store.transact([Compare("/a/x", revision)]), revision)
        self.assertEqual((await self.store.list("/")).revision, revision)

    async def test_create_if_absent(self) -> None:
        """Revision 0 means absent: the second to create a key learns that he is."""
        await self.store.transact([Compare("/a/x", 0)], [Put("/a/x", b"first")])
        conflict = await self.raises(
            Conflict, self.store.transact([Compare("/a/x", 0)], [Put("/a/x", b"second")])
        )
        self.assertEqual(conflict.keys, ("/a/x",))
        item = await self.store.get("/a/x")
        assert item is not None
        self.assertEqual(item.value, b"first")

    async def test_compare_and_set(self) -> None:
        """A change made from an outdated reading is refused, also when the key is gone."""
        outdated = await self.put("/a/x")
        current = await self.put("/a/x")
        await self.raises(Conflict, self.store.transact([Compare("/a/x", outdated)], [Put("/a/x", b"")]))
        await self.store.transact([Compare("/a/x", current)], deletes=["/a/x"])
        await self.raises(Conflict, self.store.transact([Compare("/a/x", current)], [Put("/a/x", b"")]))

    async def test_conflict_changes_nothing(self) -> None:
        """One comparison that fails undoes all, and every one that fails is named."""
        revision = await self.put("/a/x")
        conflict = await self.raises(
            Conflict,
            self.store.transact(
                [Compare("/a/x", revision), Compare("/a/y", 7), PrefixUnchanged("/a/", 0)],
                [Put("/a/new", b"")],
                ["/a/x"],
            ),
        )
        self.assertEqual(conflict.keys, ("/a/y", "/a/"))
        self.assertEqual([item.key for item in (await self.store.list("/")).items], ["/a/x"])
        self.assertEqual((await self.store.list("/")).revision, revision)

    async def test_prefix_unchanged(self) -> None:
        """A prefix counts as changed by a write, by a deletion and by a new key, at any depth."""
        await self.put("/a/x")
        await self.put("/a/deep/down")
        for change in (
            {"puts": [Put("/a/x", b"2")]},
            {"puts": [Put("/a/deep/new", b"")]},
            {"deletes": ["/a/deep/down"]},
        ):
            before = (await self.store.list("/a/")).revision
            await self.store.transact([PrefixUnchanged("/a/", before)], **change)
            await self.raises(Conflict, self.store.transact([PrefixUnchanged("/a/", before)], **change))

    async def test_prefix_unchanged_elsewhere(self) -> None:
        """However much happens elsewhere, a prefix nobody touched is unchanged."""
        revision = await self.put("/a/x")
        for number in range(20):
            await self.put(f"/ab/{number}")
            await self.store.transact(deletes=[f"/ab/{number}"])
        await self.store.transact([PrefixUnchanged("/a/", revision)], [Put("/a/x", b"2")])

    async def test_bad_keys(self) -> None:
        """A key or prefix that breaks the rules is refused before anything is done."""
        for key in ("", "a", "/", "//", "/a/", "/a//b", "/a b", "/\n", "/\u00e9", "/" + "a" * 512):
            await self.raises(ValueError, self.store.get(key))
            await self.raises(ValueError, self.put(key))
            await self.raises(ValueError, self.store.transact(deletes=[key]))
        for prefix in ("", "a/", "/a", "//", "/a//"):
            await self.raises(ValueError, self.store.list(prefix))
            await self.raises(ValueError, self.store.transact([PrefixUnchanged(prefix, 0)]))

    async def test_bad_changes(self) -> None:
        """A key changes once in a transaction; a value has a largest size."""
        twice = self.store.transact(puts=[Put("/a/x", b"")], deletes=["/a/x"])
        await self.raises(ValueError, twice)
        await self.raises(ValueError, self.put("/a/x", bytes(MAXIMUM_VALUE_SIZE + 1)))
        await self.put("/a/x", bytes(MAXIMUM_VALUE_SIZE))

    async def test_watch(self) -> None:
        """A watcher is told every later change under its prefix, one call a transaction."""
        known = await self.put("/a/x", b"0")
        told, callback = self.recorder()
        self.store.watch("/a/", known, callback)
        first = await self.store.transact(puts=[Put("/a/x", b"1"), Put("/a/y", b"2"), Put("/b/z", b"3")])
        await self.put("/b/z")
        second = await self.store.transact(deletes=["/a/x"])
        await self.settle()
        self.assertEqual(
            told,
            [
                [
                    Event("/a/x", first, Item("/a/x", b"1", known, first)),
                    Event("/a/y", first, Item("/a/y", b"2", first, first)),
                ],
                [Event("/a/x", second, None)],
            ],
        )

    async def test_watch_from_the_past(self) -> None:
        """A watch from an older revision is told what it missed, and then goes on: no gap, no double."""
        start = (await self.store.list("/a/")).revision
        for number in range(3):
            await self.put(f"/a/{number}")
        await self.store.transact(deletes=["/a/1"])
        told, callback = self.recorder()
        self.store.watch("/a/", start, callback)
        last = await self.put("/a/3")
        await self.settle()
        flat = [event for events in told for event in events]
        self.assertEqual([event.key for event in flat], ["/a/0", "/a/2", "/a/1", "/a/3"])
        self.assertEqual(sorted({event.revision for event in flat}), [event.revision for event in flat])
        self.assertEqual(flat[-1].revision, last)

    async def test_told_before_the_writer(self) -> None:
        """When a transaction's Deferred fires, watchers here know of it already."""
        told, callback = self.recorder()
        self.store.watch("/a/", (await self.store.list("/a/")).revision, callback)
        await self.put("/a/x")
        self.assertEqual(len(told), 1)

    async def test_watch_stopped(self) -> None:
        """A stopped watch tells nothing more, not even that it was lost."""
        told, callback = self.recorder()
        watch = self.store.watch("/a/", 0, callback)
        lost: list[StoreError] = []
        watch.lost.addCallback(lost.append)
        watch.stop()
        watch.stop()
        await self.put("/a/x")
        await self.settle()
        await self.store.close()
        self.assertEqual((told, lost), ([], []))

    async def test_watcher_that_fails(self) -> None:
        """A watcher's exception is logged; the others and the writer are not disturbed."""

        def fail(events: Sequence[Event]) -> None:
            raise RuntimeError("a watcher's own fault")

        told, callback = self.recorder()
        self.store.watch("/a/", 0, fail)
        self.store.watch("/a/", 0, callback)
        await self.put("/a/x")
        await self.settle()
        self.assertEqual(len(told), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_watcher_that_writes(self) -> None:
        """A watcher may change the store; every watcher still sees revisions in order."""
        told, callback = self.recorder()

        def answer(events: Sequence[Event]) -> None:
            if events[-1].key == "/a/question":
                answers.append(self.put("/a/answer"))

        answers: list[Awaitable[int]] = []
        self.store.watch("/a/", 0, answer)
        self.store.watch("/a/", 0, callback)
        await self.put("/a/question")
        await self.settle()
        await answers[0]
        await self.settle()
        self.assertEqual([event.key for events in told for event in events], ["/a/question", "/a/answer"])

    async def test_watch_lost_on_close(self) -> None:
        """Closing the store tells its watchers that they are blind."""
        watch = self.store.watch("/a/", 0, self.recorder()[1])
        lost: list[StoreError] = []
        watch.lost.addCallback(lost.append)
        await self.settle()
        await self.store.close()
        self.assertIsInstance(lost[0], StoreUnavailable)

    async def test_lease_ends(self) -> None:
        """When a lease ends its documents are gone, and watchers are told so."""
        lease = await self.store.lease(30)
        await self.put("/a/leased", lease=lease)
        await self.put("/a/kept")
        known = (await self.store.list("/a/")).revision
        told, callback = self.recorder()
        self.store.watch("/a/", known, callback)
        await self.advance(29)
        self.assertEqual(len((await self.store.list("/a/")).items), 2)
        await self.advance(3)
        self.assertEqual([item.key for item in (await self.store.list("/a/")).items], ["/a/kept"])
        self.assertEqual(
            [[(event.key, event.item) for event in events] for events in told], [[("/a/leased", None)]]
        )

    async def test_lease_on_item(self) -> None:
        """A document says which lease it lives with; writing it without one sets it free."""
        lease = await self.store.lease(30)
        await self.put("/a/x", lease=lease)
        item = await self.store.get("/a/x")
        assert item is not None
        self.assertEqual(item.lease, lease)
        await self.put("/a/x")
        await self.advance(60)
        self.assertIsNotNone(await self.store.get("/a/x"))

    async def test_keep_alive(self) -> None:
        """A lease kept alive runs for its full time again."""
        lease = await self.store.lease(30)
        await self.put("/a/x", lease=lease)
        for _ in range(5):
            await self.advance(20)
            self.assertEqual(await self.store.keep_alive([lease]), frozenset())
        self.assertIsNotNone(await self.store.get("/a/x"))
        await self.advance(32)
        self.assertIsNone(await self.store.get("/a/x"))

    async def test_lease_gone(self) -> None:
        """An ended lease can neither be kept alive nor used, and a transaction with it does nothing."""
        lease, other = await self.store.lease(5), await self.store.lease(10)
        await self.put("/b/y", lease=other)
        await self.advance(7)
        self.assertEqual(await self.store.keep_alive([lease, other]), {lease})
        await self.advance(7)
        self.assertIsNotNone(await self.store.get("/b/y"))
        await self.store.revoke(other)
        await self.raises(
            LeaseNotFound, self.store.transact(puts=[Put("/a/free", b""), Put("/a/x", b"", lease)])
        )
        self.assertEqual((await self.store.list("/")).items, ())
        await self.store.revoke(lease)

    async def test_leases_are_never_reused(self) -> None:
        """A new lease never gets the number of an ended one."""
        first = await self.store.lease(5)
        await self.store.revoke(first)
        self.assertNotEqual(await self.store.lease(5), first)

    async def test_revoke_lease(self) -> None:
        """Revoking a lease deletes its documents at once, all in one revision."""
        lease = await self.store.lease(30)
        await self.store.transact(puts=[Put("/a/x", b"", lease), Put("/a/y", b"", lease)])
        known = (await self.store.list("/a/")).revision
        told, callback = self.recorder()
        self.store.watch("/a/", known, callback)
        await self.store.revoke(lease)
        await self.settle()
        self.assertEqual([[event.key for event in events] for events in told], [["/a/x", "/a/y"]])
        self.assertEqual((await self.store.list("/")).items, ())

    async def test_bad_lease(self) -> None:
        """A lease lasts some time, and not for ever."""
        for seconds in (0, -1, float("inf"), float("nan")):
            await self.raises(ValueError, self.store.lease(seconds))

    async def test_closed(self) -> None:
        """A closed store answers that it is not there; closing it again does no harm."""
        await self.store.close()
        await self.store.close()
        await self.raises(StoreUnavailable, self.store.get("/a/x"))
        await self.raises(StoreUnavailable, self.put("/a/x"))
        await self.raises(StoreUnavailable, self.store.lease(5))
        lost: list[StoreError] = []
        self.store.watch("/a/", 0, self.recorder()[1]).lost.addCallback(lost.append)
        self.assertIsInstance(lost[0], StoreUnavailable)

    async def test_begun_before_close(self) -> None:
        """What was begun before closing is finished."""
        begun = self.store.transact(puts=[Put("/a/x", b"")])
        await self.store.close()
        self.assertEqual(await begun, 1)

    async def test_many_at_once(self) -> None:
        """Transactions asked for at once each get a revision of their own, in order."""
        begun = [self.store.transact(puts=[Put(f"/a/{number}", b"")]) for number in range(50)]
        revisions = [await each for each in begun]
        self.assertEqual(revisions, list(range(1, 51)))

    async def test_one_winner(self) -> None:
        """Of many that create the same key at once, one succeeds."""
        begun = [self.store.transact([Compare("/a/x", 0)], [Put("/a/x", b"%d" % n)]) for n in range(20)]
        winners = []
        for number, each in enumerate(begun):
            try:
                await each
                winners.append(number)
            except Conflict:
                pass
        item = await self.store.get("/a/x")
        assert item is not None
        self.assertEqual([item.value], [b"%d" % number for number in winners])

    async def test_cancelled(self) -> None:
        """Giving up on an answer does not hide its changes from watchers."""
        told, callback = self.recorder()
        self.store.watch("/a/", 0, callback)
        abandoned = self.store.transact(puts=[Put("/a/x", b"")])
        abandoned.addErrback(lambda failure: None)
        abandoned.cancel()
        await self.put("/a/y")
        await self.settle()
        self.assertEqual([event.key for events in told for event in events], ["/a/x", "/a/y"])
