"""
Where a store's blocking work is done: a thread of its own, or right here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from appproxy.store.istore import StoreUnavailable

MAXIMUM_PENDING: Final = 10_000
"""Jobs that may wait: seconds of work on a slow disk. Beyond that, waiting helps nobody."""

_T = TypeVar("_T")


class Worker(Protocol):
    """Does one job after the other, in the order they came."""

    def run(self, job: Callable[[], _T]) -> Deferred[_T]:
        """
        Do a job; its result or exception comes back in the reactor's thread.

        @raise StoreUnavailable: (as a failure) if too many are waiting.
        """

    def stop(self) -> None:
        """Take no more jobs."""


class InlineWorker:
    """
    Does each job at once, in the caller's thread: for command lines, which
    may wait, and for tests.
    """

    def run(self, job: Callable[[], _T]) -> Deferred[_T]:
        """Do a job now: the Deferred has fired already."""
        return execute(job)

    def stop(self) -> None:
        """Nothing to let go of."""


class ThreadWorker:
    """
    One thread of its own, so that no disk ever holds up the reactor.
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._pending = 0

    def run(self, job: Callable[[], _T]) -> Deferred[_T]:
        """Do a job after those that wait already."""
        if self._pending >= MAXIMUM_PENDING:
            return fail(StoreUnavailable("too many operations wait for the store"))
        self._pending += 1
        finished: Deferred[_T] = Deferred()
        self._executor.submit(self._work, job, finished)
        return finished

    def stop(self) -> None:
        """Let the thread end once it has done what waits."""
        self._executor.shutdown(wait=False)

    def _work(self, job: Callable[[], Any], finished: Deferred[Any]) -> None:
        try:
            outcome: Deferred[Any] = succeed(job())
        except BaseException:
            outcome = fail(Failure())
        self._reactor.callFromThread(self._finish, outcome, finished)

    def _finish(self, outcome: Deferred[Any], finished: Deferred[Any]) -> None:
        self._pending -= 1
        outcome.chainDeferred(finished)
