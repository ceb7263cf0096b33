"""Tests of L{appproxy.directory.directory}: what is remembered, shared, and given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.account import Account, Entry
from appproxy.directory.client import Call
from appproxy.directory.directory import (
    ANSWERS_MAXIMUM,
    KEPT_SECONDS,
    QUEUE_SECONDS,
    UNKNOWN_KEPT_SECONDS,
    Directory,
)
from appproxy.directory.errors import DirectoryError, Reason
from appproxy.directory.filters import Identity, IdentityKind
from appproxy.directory.values import sid_bytes
from appproxy.threads.errors import Overloaded

DEADLINE: Final = 5.0
BASE: Final = "DC=corp,DC=example"
ALICE: Final = Identity(IdentityKind.SID, "S-1-5-21-1-2-3-1104")
BOB: Final = Identity(IdentityKind.SID, "S-1-5-21-1-2-3-1105")
ENTRY: Final = {
    "sAMAccountName": [b"alice"],
    "objectSid": [sid_bytes("S-1-5-21-1-2-3-1104")],
    "userAccountControl": [b"512"],
    "pwdLastSet": [b"1"],
    "tokenGroups": [sid_bytes("S-1-5-21-1-2-3-513")],
}


class ThreadsByHand:
    """
    Makes a call when it is told to.

    @ivar waiting: calls that were not made yet.
    @ivar refuses: takes no calls.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.started: list[Callable[[], None]] = []
        self.refuses = False
        self.stopped = False

    def submit(
        self, lane: str, user: str, call: Callable[[], Any], started: Callable[[], None] | None = None
    ) -> Deferred[Any]:
        """Let it wait."""
        assert started is not None
        self.started.append(started)
        if self.refuses:
            return fail(Overloaded("8 calls wait already"))
        deferred: Deferred[Any] = Deferred()
        self.waiting.append((call, deferred))
        return deferred

    def stop(self) -> None:
        """Nothing to do here."""
        self.stopped = True

    def work(self) -> int:
        """
        Make all calls.

        @return: how many there were.
        """
        waiting, self.waiting = self.waiting, []
        for call, deferred in waiting:
            try:
                deferred.callback(call())
            except DirectoryError as error:
                deferred.errback(error)
        return len(waiting)


class Entries:
    """
    Answers every search with the same.

    @ivar answer: entries, or what is raised.
    @ivar calls: of the searches.
    """

    def __init__(self) -> None:
        self.answer: list[Entry] | DirectoryError = [Entry(f"CN=alice,{BASE}", ENTRY)]
        self.calls: list[Call] = []
        self.closed = False

    def search(self, call: Call, base: str, query: str, *rest: Any, **options: Any) -> Sequence[Any]:
        """Answer."""
        self.calls.append(call)
        if isinstance(self.answer, DirectoryError):
            raise self.answer
        return self.answer

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class DirectoryCase(SynchronousTestCase):
    """A directory with time and threads by hand."""

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.threads = ThreadsByHand()
        self.entries = Entries()
        searcher: Any = self.entries
        self.directory = Directory(searcher, self.threads, self.clock, self.clock.seconds, BASE, DEADLINE)

    def asked(self, identity: Identity = ALICE) -> Deferred[Account]:
        """A look-up that is under way."""
        found = self.directory.find(identity)
        assert isinstance(found, Deferred)
        return found

    def found(self, identity: Identity = ALICE) -> Account:
        """A look-up to its end."""
        deferred = self.asked(identity)
        self.threads.work()
        return self.successResultOf(deferred)

    def failed(self, deferred: Deferred[Any]) -> Reason:
        """Why it failed."""
        error = self.failureResultOf(deferred, DirectoryError).value
        assert isinstance(error, DirectoryError)
        return error.reason


class MemoryTests(DirectoryCase):
    """What is remembered."""

    def test_at_once(self) -> None:
        """A user who is remembered is there at once, until the time is up."""
        alice = self.found()
        self.clock.advance(KEPT_SECONDS - 1)
        self.assertIs(self.directory.find(ALICE), alice)
        self.clock.advance(1)
        self.asked()

    def test_by_identity(self) -> None:
        """Somebody else is looked up."""
        self.found()
        self.asked(BOB)
        self.asked(Identity(IdentityKind.USER_PRINCIPAL_NAME, ALICE.value))
        self.assertEqual(len(self.threads.waiting), 2)

    def test_unknown(self) -> None:
        """That somebody is unknown is remembered, for a shorter time."""
        self.entries.answer = []
        deferred = self.asked()
        self.threads.work()
        self.assertEqual(self.failed(deferred), "user_unknown")
        self.assertEqual(self.failed(self.asked()), "user_unknown")
        self.clock.advance(UNKNOWN_KEPT_SECONDS)
        self.assertNoResult(self.asked())

    def test_failures(self) -> None:
        """That a server could not be reached is not remembered."""
        self.entries.answer = DirectoryError("directory_unreachable", "dc1: refused")
        deferred = self.asked()
        self.threads.work()
        self.assertEqual(self.failed(deferred), "directory_unreachable")
        self.assertNoResult(self.asked())

    def test_fresh(self) -> None:
        """Who wants to know it now asks the directory, and what it says is remembered."""
        before = self.found()
        deferred = self.directory.find(ALICE, fresh=True)
        assert isinstance(deferred, Deferred)
        self.threads.work()
        now = self.successResultOf(deferred)
        self.assertIsNot(now, before)
        self.assertIs(self.directory.find(ALICE), now)

    def test_forget(self) -> None:
        """One user, or all."""
        self.found(ALICE)
        self.found(BOB)
        self.directory.forget(ALICE)
        self.asked(ALICE)
        self.assertIsInstance(self.directory.find(BOB), Account)
        self.directory.forget()
        self.asked(BOB)

    def test_forget_under_way(self) -> None:
        """What was asked before is not remembered after; who waited gets it, who comes later does not."""
        waiter = self.asked()
        self.directory.forget(ALICE)
        later = self.asked()
        self.assertEqual(self.threads.work(), 2)
        before, after = self.successResultOf(waiter), self.successResultOf(later)
        self.assertIsNot(before, after)
        self.assertIs(self.directory.find(ALICE), after)

    def test_bound(self) -> None:
        """The memory is bounded: the first one is looked up anew."""
        for number in range(ANSWERS_MAXIMUM + 1):
            self.found(Identity(IdentityKind.SID, f"S-1-5-{number}"))
        self.asked(Identity(IdentityKind.SID, "S-1-5-0"))

    def test_nobody(self) -> None:
        """That nobody has a service's name is remembered like an unknown user."""
        self.entries.answer = []
        deferred = self.directory.account_of_spn("HTTP/nowhere")
        self.threads.work()
        self.assertIsNone(self.successResultOf(deferred))
        self.assertIsNone(self.successResultOf(self.directory.account_of_spn("http/NOWHERE")))
        self.clock.advance(UNKNOWN_KEPT_SECONDS)
        self.assertNoResult(self.directory.account_of_spn("HTTP/nowhere"))


class WaitingTests(DirectoryCase):
    """Who waits, and for how long."""

    def test_shared(self) -> None:
        """All who ask for the same user wait for one search; who gives up does not disturb the others."""
        waiting = [self.asked() for _ in range(50)]
        waiting[7].cancel()
        self.failureResultOf(waiting.pop(7))
        self.assertEqual(self.threads.work(), 1)
        self.assertEqual(len({id(self.successResultOf(each)) for each in waiting}), 1)

    def test_shared_failure(self) -> None:
        """Each gets an exception of their own."""
        self.entries.answer = []
        first, second = self.asked(), self.asked()
        self.threads.work()
        errors = [self.failureResultOf(each, DirectoryError).value for each in (first, second)]
        self.assertIsNot(errors[0], errors[1])

    def test_one_cancels_another(self) -> None:
        """Who is cancelled by another's callback, while all are answered, takes the answer from nobody."""
        first, second, third = (self.asked() for _ in range(3))
        first.addCallback(lambda _: second.cancel())
        self.threads.work()
        self.failureResultOf(second, CancelledError)
        self.assertIsInstance(self.successResultOf(third), Account)

    def test_deadline(self) -> None:
        """Nobody waits longer than the deadline; the next one is a look-up of its own."""
        deferred = self.asked()
        self.clock.advance(DEADLINE)
        self.assertEqual(self.failed(deferred), "directory_timeout")
        self.assertNoResult(self.asked())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_crowd(self) -> None:
        """While the directory answers others, whoever waits for a thread waits on, but not for ever."""
        waiting = self.asked()
        for _ in range(round(QUEUE_SECONDS / DEADLINE)):
            self.assertNoResult(waiting)
            call = self.threads.waiting.pop(0)
            self.found(BOB)
            self.directory.forget(BOB)
            self.threads.waiting.append(call)
            self.clock.advance(DEADLINE)
        self.assertEqual(self.failed(waiting), "directory_timeout")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_thread(self) -> None:
        """The deadline runs from when a thread begins, for the searches too."""
        waiting = self.asked()
        self.clock.advance(DEADLINE - 1)
        self.threads.started[-1]()
        self.clock.advance(DEADLINE - 1)
        self.assertNoResult(waiting)
        self.threads.work()
        self.assertEqual(self.entries.calls[0].deadline, self.clock.seconds() + DEADLINE)
        self.successResultOf(waiting)

    def test_silent(self) -> None:
        """When one with a thread has waited in vain, those without one fail with it."""
        first = self.asked()
        self.threads.started[-1]()
        self.clock.advance(DEADLINE / 2)
        second = self.asked(BOB)
        self.clock.advance(DEADLINE / 2)
        self.assertEqual([self.failed(each) for each in (first, second)], ["directory_timeout"] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_left(self) -> None:
        """After an answer no timer is left."""
        self.found()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_overloaded(self) -> None:
        """More than can wait are told so, and that is not remembered."""
        self.threads.refuses = True
        self.assertEqual(self.failed(self.asked()), "overloaded")
        self.threads.refuses = False
        self.found()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_mistake(self) -> None:
        """A mistake of ours is no answer: it is passed on as it is, and not remembered."""
        deferred = self.asked()
        ((_, running),) = self.threads.waiting
        running.errback(ZeroDivisionError())
        self.failureResultOf(deferred, ZeroDivisionError)
        self.assertNoResult(self.asked())

    def test_close(self) -> None:
        """At the end nobody waits and no timer is left."""
        deferred = self.asked()
        self.directory.close()
        self.assertEqual(self.failed(deferred), "directory_timeout")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.threads.stopped and self.entries.closed)
