"""
A directory, as the reactor's thread sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.directory.account import Account, Entry, ServiceAccount
from appproxy.directory.cache import AnswerCache
from appproxy.directory.client import Call, Client, too_late
from appproxy.directory.errors import UNKNOWN, DirectoryError
from appproxy.directory.filters import Identity
from appproxy.directory.lookups import Searches, find_account, find_by_spn, find_service, find_sids, find_time
from appproxy.directory.settings import DirectoryClientSettings
from appproxy.threads.errors import Overloaded
from appproxy.threads.pool import FairPool

THREADS: Final = 4
"""At a time: a look-up takes some milliseconds of a domain controller."""

ANSWERS_MAXIMUM: Final = 5000
"""Some kilobytes each, most of it the set of groups."""

KEPT_SECONDS: Final = 300.0
"""An account's state: this long after a change at the directory, the old one may still count."""

UNKNOWN_KEPT_SECONDS: Final = 30.0
"""That there is no such account: it may just have been made."""

QUEUE_SECONDS: Final = 30.0
"""How long a look-up may wait for a thread while the directory answers others."""

_T = TypeVar("_T")
_Key = tuple[str, Any]
_Work = Callable[[Searches, str], object]

log = Logger(__name__)


class Threads(Protocol):
    """What makes calls that block: L{FairPool}."""

    def submit(
        self, lane: str, user: str, call: Callable[[], _T], started: Callable[[], None] | None = None
    ) -> Deferred[_T]:
        """As L{FairPool.submit}."""

    def stop(self) -> None:
        """As L{FairPool.stop}."""


class Searcher(Protocol):
    """What asks servers: L{Client}."""

    def search(
        self, call: Call, base: str, query: str, scope: Any, attributes: Any, size_limit: int = 0
    ) -> list[Entry]:
        """As L{Client.search}."""

    def close(self) -> None:
        """As L{Client.close}."""


class _Answer:
    """What the directory said, L{None} included."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Shared:
    """
    One look-up, and all who wait for it.

    @ivar running: to be cancelled when its time is up.
    @ivar timer: until then.
    @ivar in_thread: whether a thread has begun.
    @ivar give_up_at: when it has waited long enough for one.
    @ivar answers_before: how often the directory had answered when the time began.
    """

    running: Deferred[_Answer]
    timer: IDelayedCall | None = None
    in_thread = False
    answers_before = 0

    def __init__(self, call: Call, give_up_at: float) -> None:
        self.call = call
        self.give_up_at = give_up_at
        self._waiting: list[Deferred[Any]] = []

    def join(self) -> Deferred[Any]:
        """One more; whoever cancels only stops waiting."""
        deferred: Deferred[Any] = Deferred(self._leave)
        self._waiting.append(deferred)
        return deferred

    def answer(self, answer: _Answer | DirectoryError | Failure) -> None:
        """To everybody."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            # What the one before did with it may have cancelled this one.
            if not each.called:
                _give(each, answer)

    def _leave(self, deferred: Deferred[Any]) -> None:
        # Not there any more while all are answered.
        if deferred in self._waiting:
            self._waiting.remove(deferred)


class Directory:
    """
    Looks up accounts in threads, and remembers them for a while.

    The deadline of a look-up runs from when a thread begins: while the directory answers others, a burst of
    new users waits its turn. Of a directory that says nothing nobody waits longer than that.

    Whatever fails is a L{DirectoryError}.
    """

    def __init__(
        self,
        searcher: Searcher,
        threads: Threads,
        reactor: IReactorTime,
        clock: Callable[[], float],
        base: str,
        deadline_seconds: float,
    ) -> None:
        """
        @param clock: monotonic, seconds; the searcher's.
        @param base: the distinguished name below which everything is looked for.
        @param deadline_seconds: for each look-up, once it has a thread.
        """
        self._searcher = searcher
        self._threads = threads
        self._reactor = reactor
        self._clock = clock
        self._base = base
        self._deadline_seconds = deadline_seconds
        self._answers: AnswerCache[_Answer | DirectoryError] = AnswerCache(ANSWERS_MAXIMUM)
        self._under_way: dict[_Key, _Shared] = {}
        self._running: set[_Shared] = set()
        self._answered = 0

    def find(self, identity: Identity, *, fresh: bool = False) -> Account | Deferred[Account]:
        """
        The one user of an identity: at once if remembered.

        @param fresh: ask the directory even so.
        """
        known = None if fresh else self.remembered(identity)
        if known is not None:
            return known
        return self._look_up(
            ("user", identity), lambda search, base: find_account(search, base, identity), fresh
        )

    def remembered(self, identity: Identity) -> Account | None:
        """The one user of an identity, if remembered."""
        known = self._answers.get(("user", identity), self._clock())
        # Nearly every request asks: no more than a comparison.
        return cast(Account, known.value) if type(known) is _Answer else None

    def own_account(self, principal: str, *, fresh: bool = False) -> Deferred[ServiceAccount]:
        """
        The account of a principal, C{name@REALM}: the connector's own.

        @param fresh: ask the directory even if it is remembered.
        """
        name = principal.rpartition("@")[0] or principal
        return self._look_up(
            ("service", name.casefold()), lambda search, base: find_service(search, base, name), fresh
        )

    def account_of_spn(self, spn: str, *, fresh: bool = False) -> Deferred[ServiceAccount | None]:
        """
        Who has a service principal name, C{HTTP/host}; L{None} if nobody has.

        @param fresh: ask the directory even if it is remembered.
        """
        return self._look_up(
            ("spn", spn.casefold()), lambda search, base: find_by_spn(search, base, spn), fresh
        )

    def group_sids(self, names: Iterable[str], *, fresh: bool = False) -> Deferred[frozenset[str]]:
        """
        The security identifiers of groups and accounts, to be compared with L{Account.sids}.

        @param names: SAM names, distinguished names or identifiers.
        @param fresh: ask the directory even if they are remembered.
        """
        wanted = tuple(sorted(set(names)))
        return self._look_up(("sids", wanted), lambda search, base: find_sids(search, base, wanted), fresh)

    def clock_difference(self, now: Callable[[], float]) -> Deferred[float]:
        """
        How far a directory's clock is ahead of this machine's, in seconds; never remembered.

        @param now: the system's clock.
        """
        asking: Deferred[float] = self._look_up(
            ("clock", None), lambda search, _base: find_time(search), True
        )
        return asking.addCallback(lambda theirs: theirs - now())

    def forget(self, identity: Identity | None = None) -> None:
        """Ask the directory anew for this user, or for everything; what is under way is not remembered."""
        if identity is None:
            self._answers.clear()
            self._under_way.clear()
            return
        key = ("user", identity)
        self._answers.forget(key)
        self._under_way.pop(key, None)

    def close(self) -> None:
        """Fail what waits, and close all connections."""
        self._threads.stop()
        for shared in list(self._running):
            shared.running.cancel()
        self._searcher.close()

    def _look_up(self, key: _Key, work: _Work, fresh: bool) -> Deferred[Any]:
        known = None if fresh else self._answers.get(key, self._clock())
        if known is not None:
            return _give(Deferred(), known)
        shared = self._under_way.get(key)
        if shared is not None:
            return shared.join()
        now = self._clock()
        call = Call(now + self._deadline_seconds, insistent=fresh)
        shared = self._under_way[key] = _Shared(call, now + QUEUE_SECONDS)
        waiter = shared.join()
        self._start(key, work, shared)
        return waiter

    def _start(self, key: _Key, work: _Work, shared: _Shared) -> None:
        search = cast(Searches, partial(self._searcher.search, shared.call))

        def make() -> _Answer:
            shared.call.deadline = self._clock() + self._deadline_seconds
            return _Answer(work(search, self._base))

        def ended(result: _Answer | Failure) -> None:
            if shared.timer is not None:
                shared.timer.cancel()
                shared.timer = None
            self._running.discard(shared)
            answer = _answer_of(result, shared.call)
            self._answered += _has_answered(answer)
            # Unless it was forgotten meanwhile.
            if self._under_way.get(key) is shared:
                del self._under_way[key]
                self._remember(key, answer)
            shared.answer(answer)

        shared.running = self._threads.submit(self._base, repr(key), make, partial(self._in_thread, shared))
        self._running.add(shared)
        self._time(shared)
        shared.running.addBoth(ended)

    def _time(self, shared: _Shared) -> None:
        shared.answers_before = self._answered
        shared.timer = self._reactor.callLater(self._deadline_seconds, self._too_late, shared)

    def _in_thread(self, shared: _Shared) -> None:
        shared.in_thread = True
        shared.answers_before = self._answered
        if shared.timer is not None:
            shared.timer.reset(self._deadline_seconds)

    def _too_late(self, shared: _Shared) -> None:
        shared.timer = None
        others_are_answered = self._answered != shared.answers_before
        if not shared.in_thread and others_are_answered and self._clock() < shared.give_up_at:
            self._time(shared)
            return
        shared.running.cancel()
        if shared.in_thread and not others_are_answered:
            # It has fallen silent: those that still wait for a thread would wait in vain.
            for other in [each for each in self._running if not each.in_thread]:
                other.running.cancel()

    def _remember(self, key: _Key, answer: _Answer | DirectoryError | Failure) -> None:
        now = self._clock()
        if isinstance(answer, _Answer):
            lasts = UNKNOWN_KEPT_SECONDS if answer.value is None else KEPT_SECONDS
            self._answers.put(key, answer, now + lasts)
        elif isinstance(answer, DirectoryError) and answer.reason in UNKNOWN:
            self._answers.put(key, answer, now + UNKNOWN_KEPT_SECONDS)


def _has_answered(answer: _Answer | DirectoryError | Failure) -> bool:
    """Whether the directory has said something, be it that there is no such account."""
    return isinstance(answer, _Answer) or (isinstance(answer, DirectoryError) and answer.reason in UNKNOWN)


def _answer_of(result: _Answer | Failure, call: Call) -> _Answer | DirectoryError | Failure:
    """A L{Failure} is a mistake of ours."""
    if isinstance(result, _Answer):
        return result
    if isinstance(result.value, DirectoryError):
        return result.value
    if isinstance(result.value, Overloaded):
        return DirectoryError("overloaded", str(result.value))
    if isinstance(result.value, CancelledError):
        call.abort()
        return too_late()
    return result


def _give(deferred: Deferred[Any], answer: _Answer | DirectoryError | Failure) -> Deferred[Any]:
    """An exception that is raised collects a traceback: everybody gets one of their own."""
    if isinstance(answer, _Answer):
        deferred.callback(answer.value)
    else:
        deferred.errback(answer.again() if isinstance(answer, DirectoryError) else answer)
    return deferred


def open_directory(
    settings: DirectoryClientSettings,
    reactor: Any,
    clock: Callable[[], float] = time.monotonic,
    threads: int = THREADS,
) -> Directory:
    """
    A directory whose servers are connected to when they are first needed.

    @param reactor: with time and threads.
    @param clock: monotonic, seconds.
    """

    def report(error: DirectoryError) -> None:
        reactor.callFromThread(_tell, error)

    # There is one lane, which a pool never gives all of its threads.
    pool = FairPool("directory", threads + 1, reactor, lane_threads=threads)
    return Directory(
        Client(settings, clock, report), pool, reactor, clock, settings.base, settings.deadline_seconds
    )


def _tell(error: DirectoryError) -> None:
    log.warn(
        "A directory's server fails ({reason}): {detail}",
        reason=error.reason,
        detail=error.detail,
        fault="operator" if error.reason in ("directory_refused", "directory_tls") else "peer",
    )
