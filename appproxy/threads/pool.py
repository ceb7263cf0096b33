"""
Threads for calls that block in a library: Kerberos, directories.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from appproxy.threads.errors import Overloaded
from appproxy.threads.schedule import Entry, Limits, Schedule

_T = TypeVar("_T")

MAXIMUM_WAITING: Final = 2048
"""Calls that may wait in all: some seconds of work for every thread."""

MAXIMUM_WAITING_LANE: Final = 1024
"""Of one lane: half, so that one silent server leaves room in the queue for the others."""

MAXIMUM_WAITING_USER: Final = 16
"""Of one user in one lane: a page that opens several applications at once needs few."""


class _Job(Generic[_T]):
    __slots__ = ("call", "finished", "started")

    def __init__(self, call: Callable[[], _T], finished: Deferred[_T], started: Callable[[], None] | None):
        self.call = call
        self.finished = finished
        self.started = started


class FairPool:
    """
    At most so many threads; round robin over lanes, and in a lane over users.

    A lane is what may fall silent as a whole: a realm, a directory. The reactor's thread alone
    decides who is next, so nothing here is locked; a thread only ever has one call in hand.

    The threads are daemons: a call that hangs never keeps the process alive.

    @ivar rejected: how many calls were refused as L{Overloaded}.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        reactor: IReactorFromThreads,
        *,
        lane_threads: int | None = None,
        waiting: int = MAXIMUM_WAITING,
        lane_waiting: int = MAXIMUM_WAITING_LANE,
        user_waiting: int = MAXIMUM_WAITING_USER,
    ) -> None:
        """
        @param name: what the threads are called.
        @param lane_threads: how many threads one lane may take; by default all but one.
        @raise ValueError: if a lane could take all threads: there are two at least.
        """
        limits = Limits(threads, lane_threads or threads - 1, waiting, lane_waiting, user_waiting)
        self._schedule: Schedule[_Job[Any]] = Schedule(limits)
        self._name = name
        self._reactor = reactor
        self._given: SimpleQueue[Entry[_Job[Any]] | None] = SimpleQueue()
        self._threads = 0
        self._stopped = False
        self.rejected = 0

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._schedule.waiting

    @property
    def running(self) -> int:
        """How many threads are busy."""
        return self._schedule.running

    def submit(
        self, lane: str, user: str, call: Callable[[], _T], started: Callable[[], None] | None = None
    ) -> Deferred[_T]:
        """
        Make a call in a thread; its result or exception comes back in the reactor's thread.

        To cancel the Deferred takes a waiting call out of the queue. One that runs goes on until it
        returns, in its lane's thread, and what it returns is dropped.

        @param started: called, in the reactor's thread, when the call has got a thread.
        @raise Overloaded: (as a failure) if too many are waiting, or after L{stop}.
        """
        finished: Deferred[_T] = Deferred(lambda _: self._withdraw(entry))
        try:
            if self._stopped:
                raise Overloaded(f"the {self._name} threads are stopping")
            entry = self._schedule.add(lane, user, _Job(call, finished, started))
        except Overloaded as error:
            self.rejected += 1
            return fail(error)
        self._dispatch()
        return finished

    def stop(self) -> None:
        """Take no more calls, fail those that wait, and let each thread end once its call returns."""
        self._stopped = True
        for job in self._schedule.clear():
            job.finished.errback(Overloaded(f"the {self._name} threads are stopping"))
        for _ in range(self._threads):
            self._given.put(None)
        self._threads = 0

    def _withdraw(self, entry: Entry[_Job[Any]]) -> None:
        self._schedule.remove(entry)

    def _dispatch(self) -> None:
        while (entry := self._schedule.take()) is not None:
            if not self._enough_threads():
                self._schedule.done(entry)
                entry.job.finished.errback(Overloaded("the system starts no more threads"))
                continue
            self._given.put(entry)
            if entry.job.started is not None:
                entry.job.started()

    def _enough_threads(self) -> bool:
        """One for each call that runs, or as many as the system gives."""
        if self._threads < self._schedule.running:
            try:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            except RuntimeError:
                return self._threads > 0
            self._threads += 1
        return True

    def _work(self) -> None:
        while (entry := self._given.get()) is not None:
            outcome: object
            try:
                outcome = entry.job.call()
            except BaseException:
                outcome = Failure()
            self._reactor.callFromThread(self._finish, entry, outcome)
            # Until the next call comes, nothing of this one is kept alive from here.
            del entry, outcome

    def _finish(self, entry: Entry[_Job[Any]], outcome: object) -> None:
        self._schedule.done(entry)
        # Before the next call begins: what this one brings may say whether it should.
        if not entry.job.finished.called:
            entry.job.finished.callback(outcome)
        if not self._stopped:
            self._dispatch()
