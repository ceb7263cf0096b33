"""
Sessions: records in the store, followed by watch, and opened by cookie.

After a session's first sight in this process a request costs one look into a
dict. Deleting the record ends the session at every edge at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.model.principal import Principal
from appproxy.session.keyring import Keyring
from appproxy.session.memory import KnownSession, SessionMemory
from appproxy.session.outcomes import CookieProblem, NotHere, StoreAway
from appproxy.session.record import (
    SessionRecord,
    Tokens,
    decode_pointer,
    decode_record,
    encode_pointer,
    encode_record,
    new_session_id,
    session_key,
)
from appproxy.session.seals import BadSeal, Purpose
from appproxy.session.single_flight import SingleFlight
from appproxy.session.spent import CLOCK_SKEW_SECONDS, spent_key
from appproxy.store.follower import Follower
from appproxy.store.istore import Compare, Event, IStore, Item, Listing, Put, StoreError
from appproxy.store.keys import SESSIONS, BadDocument, encode_document
from appproxy.store.listeners import Listeners
from appproxy.store.patience import in_time
from appproxy.store.sealing import Sealer

__all__ = ["CookieProblem", "Lifetimes", "NotHere", "Sessions", "StoreAway", "Tokens"]

GATHER_SECONDS: Final = 0.5
"""How long used sessions are gathered, to be told to the store together: each alone costs a millisecond."""

TOUCH_SECONDS: Final = 60.0
"""A session's use is told to the store at most this often."""

MAXIMUM_FETCHES: Final = 1_000
"""Records that somebody waits for: more means that the store does not keep up."""

FETCHES_AT_ONCE: Final = 8
"""
Records that the store is asked for: what it answers goes on in one turn of the reactor, with the requests
that waited for it. When hundreds come whose sessions are not at hand, the others' requests pass in between.
"""

_FETCH_ATTEMPTS: Final = 3
"""A read that a new full read overtook is repeated; so often in a row is a store in trouble."""

_END_AT_ONCE: Final = 1_000
"""Records deleted in one transaction when many are ended."""

_SWEEP_SECONDS: Final = 1.0
"""A session that reached its maximum ends its streams within this time."""

_T = TypeVar("_T")
_log: Final = Logger(__name__)


class Lifetimes(Protocol):
    """What C{[session]} says, in seconds."""

    @property
    def maximum_lifetime(self) -> float:
        """After this a session ends, however busy it is."""

    @property
    def idle_lifetime(self) -> float:
        """After this without a request it ends."""

    @property
    def revocation_grace(self) -> float:
        """How long known sessions go on while the store is away."""


class Sessions:
    """
    Every session, as this process sees them.

    @param clock: its seconds are those of the epoch, as the reactor's are.
    """

    def __init__(
        self, store: IStore, sealer: Sealer, keyring: Keyring, clock: IReactorTime, lifetimes: Lifetimes
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._keyring = keyring
        self._clock = clock
        self._now = clock.seconds
        self._lifetimes = lifetimes
        self._touch_seconds = min(TOUCH_SECONDS, lifetimes.idle_lifetime / 4)
        self._memory = SessionMemory()
        self._opened = self._memory.opened
        self._fetching: SingleFlight[bool] = SingleFlight()
        self._fetch_turns = DeferredSemaphore(FETCHES_AT_ONCE)
        self._ended: Listeners[str] = Listeners()
        self._follower = Follower(store, SESSIONS, clock, self._read, self._changed, self._memory.distrust)
        # By their leases: sessions whose use the store is about to hear of.
        self._touched: dict[int, str] = {}
        self._touching: IDelayedCall | None = None
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock

    def __len__(self) -> int:
        return len(self._memory.sessions)

    @property
    def ready(self) -> bool:
        """Whether sessions can be told from none: keys and records are read and followed."""
        return self._keyring.ready and self._follower.in_step

    def start(self) -> Deferred[None]:
        """
        Read and follow keys and records.

        @return: fires when L{ready}.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self._keyring.start()
        await self._follower.start()
        self._sweeping.start(_SWEEP_SECONDS, now=False)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._keyring.stop()
        self._follower.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        if self._touching is not None:
            self._touching.cancel()
            self._touching = None

    def watch_ended(self, callback: Callable[[str], None]) -> None:
        """Be told the id of each session that ends, wherever it was ended."""
        self._ended.add(callback)

    # Opening

    def open_cookie(self, cookie: bytes, host: bytes) -> Principal | None:
        """
        The user of a session cookie.

        @param host: the host that the cookie came to: lower case, no port.
        @return: L{None} if there is no cookie.
        @raise NotHere: at first sight: L{fetch} it, then ask again.
        @raise CookieProblem: if there is no session behind it.
        @raise StoreAway: if nobody can tell.
        """
        session = self._opened.get((host, cookie))
        if session is not None and self._now() < session.check_at:
            return session.principal
        return self._look_closer(cookie, host) if cookie else None

    def _look_closer(self, cookie: bytes, host: bytes) -> Principal:
        now, grace_ends = self._now(), self._grace_ends()
        if now >= grace_ends:
            raise StoreAway
        session_id = self._pointed_at(cookie, host, now)
        session = self._memory.sessions.get(session_id)
        if session is not None and now >= session.expires_at:
            self._expire(session)
        elif session is not None:
            self.touch(session_id)
        reason = self._memory.ended.get(session_id)
        if reason is not None:
            raise CookieProblem(reason)
        if session is None:
            raise NotHere(session_id)
        session.check_at = min(session.touch_at, session.expires_at, grace_ends)
        self._memory.open(host, cookie, session)
        return session.principal

    def _pointed_at(self, cookie: bytes, host: bytes, now: float) -> str:
        try:
            data = self._keyring.unseal(Purpose.SESSION_COOKIE, host, cookie)
            session_id, made_at = decode_pointer(data)
        except (BadSeal, BadDocument):
            raise CookieProblem("cookie_invalid") from None
        if now >= made_at + self._lifetimes.maximum_lifetime + CLOCK_SKEW_SECONDS:
            raise CookieProblem("session_expired")
        return session_id

    def _grace_ends(self) -> float:
        lost_since = self._follower.lost_since
        return float("inf") if lost_since is None else lost_since + self._lifetimes.revocation_grace

    def cookie(self, session_id: str, host: bytes) -> bytes:
        """The cookie's value for one host: a sealed pointer, about 80 bytes."""
        return self._keyring.seal(Purpose.SESSION_COOKIE, host, encode_pointer(session_id, self._now()))

    def created_at(self, session_id: str) -> float | None:
        """When a session known here began, in seconds since the epoch."""
        session = self._memory.sessions.get(session_id)
        return None if session is None else session.created_at

    def expires_at(self, session_id: str) -> float | None:
        """When a session known here ends at the latest, in seconds since the epoch."""
        session = self._memory.sessions.get(session_id)
        return None if session is None else session.expires_at

    # First sight

    def fetch(self, session_id: str) -> Deferred[bool]:
        """
        Load a session's record.

        @return: whether there is such a session; either way L{open_cookie} now knows.
        @raise StoreAway: (as a failure) if nobody can tell.
        """
        if session_id in self._memory.sessions:
            return succeed(True)
        if len(self._fetching) >= MAXIMUM_FETCHES and session_id not in self._fetching:
            return fail(StoreAway())
        return self._fetching.run(session_id, lambda: Deferred.fromCoroutine(self._fetch(session_id)))

    async def _fetch(self, session_id: str) -> bool:
        try:
            item, reason = await self._load_in_turn(session_id)
        except StoreError as error:
            raise StoreAway from error
        record = None if item is None else self._decoded(session_id, item)
        if item is None or record is None:
            self._memory.end(session_id, reason)
        elif session_id not in self._memory.ended:
            self._memory.keep(record, item.revision, self._now())
        return session_id in self._memory.sessions

    async def _load_in_turn(self, session_id: str) -> tuple[Item | None, str]:
        await self._ask(self._fetch_turns.acquire())
        try:
            return await self._load(session_id)
        finally:
            # In another turn of the reactor: where the store fails at once a thousand would call each other.
            self._clock.callLater(0, self._fetch_turns.release)

    async def _load(self, session_id: str) -> tuple[Item | None, str]:
        """
        The record, or why there is none.

        A record read before a full read, and handed on after it, could have
        been deleted in between unnoticed; so it is read again.
        """
        for _ in range(_FETCH_ATTEMPTS):
            generation = self._follower.generation
            item = await self._ask(self._store.get(session_key(session_id)))
            tombstone = None if item else await self._ask(self._store.get(_tombstone(session_id)))
            if generation == self._follower.generation:
                return item, "session_expired" if tombstone is None else "session_ended"
        raise StoreAway

    def _decoded(self, session_id: str, item: Item) -> SessionRecord | None:
        try:
            return decode_record(session_id, item.value, self._sealer)
        except BadDocument as problem:
            _log.error("{problem}", problem=str(problem), fault="operator")
            return None

    # Beginning, use and end

    def create(self, principal: Principal, tokens: Tokens) -> Deferred[str]:
        """
        Begin a session.

        @param principal: the user; the session id in it is replaced by a new one.
        @return: the session's id.
        """
        return Deferred.fromCoroutine(self._create(principal, tokens))

    async def _create(self, principal: Principal, tokens: Tokens) -> str:
        now = self._now()
        session_id = new_session_id()
        lease = await self._ask(self._store.lease(self._lifetimes.idle_lifetime))
        expires_at = now + self._lifetimes.maximum_lifetime
        record = SessionRecord(replace(principal, session_id=session_id), tokens, now, expires_at, lease)
        key = session_key(session_id)
        put = Put(key, encode_record(record, self._sealer), lease)
        revision = await self._ask(self._store.transact([Compare(key, 0)], [put]))
        if session_id not in self._memory.ended:
            self._memory.keep(record, revision, now + self._touch_seconds)
        return session_id

    def tokens(self, session_id: str) -> Deferred[Tokens | None]:
        """
        What the provider gave at sign-in; never kept in memory.

        @return: L{None} if there is no such session.
        """
        return Deferred.fromCoroutine(self._tokens(session_id))

    async def _tokens(self, session_id: str) -> Tokens | None:
        item = await self._ask(self._store.get(session_key(session_id)))
        record = None if item is None else self._decoded(session_id, item)
        return None if record is None else record.tokens

    def touch(self, session_id: str) -> None:
        """
        The session is in use. Open streams, which make no new requests, may say so too.

        The store hears of it once a minute at most, by the session's lease.
        """
        session = self._memory.sessions.get(session_id)
        now = self._now()
        if session is None or now < session.touch_at:
            return
        session.touch_at = now + self._touch_seconds
        self._touched[session.lease] = session_id
        if self._touching is None:
            self._touching = self._clock.callLater(GATHER_SECONDS, self._tell_touched)

    def _tell_touched(self) -> None:
        self._touching = None
        touched, self._touched = self._touched, {}
        told = self._ask(self._store.keep_alive(list(touched)))
        told.addCallback(self._touch_was_late, touched).addErrback(self._touch_failed)

    def _touch_was_late(self, ended: frozenset[int], touched: Mapping[int, str]) -> None:
        for lease in ended:
            self._end_here(touched[lease], "session_expired")

    def _touch_failed(self, failure: Failure) -> None:
        if not failure.check(StoreError):
            _log.failure("sessions could not be touched", failure, fault="ours")

    def end(self, session_id: str, why: str) -> Deferred[None]:
        """
        End a session: here at once, and everywhere by deleting its record.

        @param why: for the log: C{sign_out}, C{administrator}, C{replaced}, ...
        @raise StoreError: (as a failure) if other edges cannot be told.
        """
        return self.end_many([session_id], why)

    def end_many(self, session_ids: Sequence[str], why: str) -> Deferred[None]:
        """End sessions; as L{end}."""
        for session_id in session_ids:
            self._end_here(session_id, "session_ended")
        return Deferred.fromCoroutine(self._delete(session_ids, why))

    async def _delete(self, session_ids: Sequence[str], why: str) -> None:
        seconds = self._lifetimes.maximum_lifetime + CLOCK_SKEW_SECONDS
        document = encode_document({"kind": "session", "why": why})
        for start in range(0, len(session_ids), _END_AT_ONCE):
            some = session_ids[start : start + _END_AT_ONCE]
            lease = await self._ask(self._store.lease(seconds))
            tombstones = [Put(_tombstone(each), document, lease) for each in some]
            await self._ask(self._store.transact([], tombstones, [session_key(each) for each in some]))

    def end_all(self) -> Deferred[int]:
        """
        End every session and void every cookie: the answer to a stolen edge.

        @return: how many sessions there were.
        """
        return Deferred.fromCoroutine(self._end_all())

    async def _end_all(self) -> int:
        await self._keyring.replace()
        listing = await self._ask(self._store.list(SESSIONS))
        keys = [item.key for item in listing.items]
        for start in range(0, len(keys), _END_AT_ONCE):
            await self._ask(self._store.transact([], [], keys[start : start + _END_AT_ONCE]))
        return len(keys)

    # Following the store

    def _read(self, listing: Listing) -> None:
        """After each full read: what is not there any more has ended meanwhile."""
        there = frozenset(item.key.removeprefix(SESSIONS) for item in listing.items)
        for session_id in self._memory.missing(there, listing.revision):
            self._gone(session_id)

    def _changed(self, events: Sequence[Event]) -> None:
        for event in events:
            session_id = event.key.removeprefix(SESSIONS)
            if event.item is None:
                self._gone(session_id)
            elif session_id in self._memory.sessions:
                self._renew(self._memory.sessions[session_id], event.item)

    def _gone(self, session_id: str) -> None:
        """The record was deleted: by somebody, or because nobody used the session anywhere."""
        if session_id in self._memory.ended:
            return
        session = self._memory.sessions.get(session_id)
        if session is None and session_id not in self._fetching:
            self._ended.tell(session_id)  # not remembered: whoever fetches it learns why
            return
        used_at = self._now() if session is None else session.touch_at - self._touch_seconds
        is_idle = self._now() >= used_at + self._lifetimes.idle_lifetime
        self._end_here(session_id, "session_expired" if is_idle else "session_ended")

    def _renew(self, session: KnownSession, item: Item) -> None:
        """The record was written anew, with refreshed claims."""
        if item.revision <= session.revision:
            return
        record = self._decoded(session.id, item)
        if record is None:
            self._end_here(session.id, "session_ended")
        else:
            self._memory.keep(record, item.revision, session.touch_at)

    def _sweep(self) -> None:
        """End what reached its maximum lifetime, whether or not a request comes."""
        for session in self._memory.expired(self._now()):
            self._expire(session)

    def _expire(self, session: KnownSession) -> None:
        self._end_here(session.id, "session_expired")
        deletion = self._ask(self._store.transact([], [], [session_key(session.id)]))
        deletion.addErrback(lambda failure: failure.trap(StoreError))  # its lease ends it too

    def _end_here(self, session_id: str, reason: str) -> None:
        if self._memory.end(session_id, reason):
            self._ended.tell(session_id)

    def _ask(self, answer: Deferred[_T]) -> Deferred[_T]:
        return in_time(answer, self._clock)


def _tombstone(session_id: str) -> str:
    """What says, until the session's maximum end, that it was ended on purpose."""
    return spent_key("session", session_id.encode())
