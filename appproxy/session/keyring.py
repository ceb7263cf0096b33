"""
The ring of cookie keys in the store: made daily, shared by every edge, and
replaced in one go as the answer to a stolen edge.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.session.seals import SECRET_SIZE, Purpose, SealKeys
from appproxy.store.follower import RETRY_SECONDS, Follower
from appproxy.store.istore import Compare, Conflict, Event, IStore, Item, Listing, Put, StoreError
from appproxy.store.keys import COOKIE_KEYS, BadDocument, decode_document, encode_document
from appproxy.store.patience import in_time
from appproxy.store.sealing import SealBroken, Sealer

NEW_KEY_SECONDS: Final = 86400.0
"""A new key every day: bounds what one key seals."""

ACTIVATION_SECONDS: Final = 60.0
"""A new key is used only after every edge had time to hear of it."""

CHECK_SECONDS: Final = 300.0
"""How often it is looked whether a key is due; a day has room for that."""

_log = Logger()


@dataclass(frozen=True)
class RingKey:
    """One secret of the ring, and when it came into being (seconds since the epoch)."""

    secret: bytes
    created_at: float


class Keyring:
    """
    @param maximum_lifetime: the longest that anything sealed must open again, in seconds.
    """

    def __init__(
        self,
        store: IStore,
        sealer: Sealer,
        clock: IReactorTime,
        maximum_lifetime: float,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._kept_seconds = maximum_lifetime + NEW_KEY_SECONDS + 2 * CHECK_SECONDS
        self._random_bytes = random_bytes
        self._ring: dict[int, RingKey] = {}
        self._keys = SealKeys({}, 0)
        self._follower = Follower(store, COOKIE_KEYS, clock, self._read, self._changed)
        self._turning = LoopingCall(self._turn)
        self._turning.clock = clock

    @property
    def ready(self) -> bool:
        """Whether there is a key to seal with, known from the store."""
        return self._keys.current != 0 and self._follower.generation > 0

    async def _start(self) -> None:
        await self._follower.start()
        await self._turn()
        while not self.ready:
            await deferLater(self._clock, RETRY_SECONDS)
            await self._turn()
        self._turning.start(CHECK_SECONDS, now=False)

    def start(self) -> Deferred[None]:
        """Read the ring and follow it; make the first key if there is none."""
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> None:
        """Follow the ring no more."""
        self._follower.stop()
        if self._turning.running:
            self._turning.stop()

    def seal(self, purpose: Purpose, host: bytes, data: bytes) -> bytes:
        """
        A token for one purpose at one host.

        @raise BadSeal: if the ring was not read yet.
        """
        return self._keys.seal(purpose, host, data)

    def unseal(self, purpose: Purpose, host: bytes, token: bytes) -> bytes:
        """
        The data of a token.

        @raise BadSeal: if it is not ours, not for this, or its key is gone.
        """
        return self._keys.unseal(purpose, host, token)

    def replace(self) -> Deferred[None]:
        """Make every token that was ever sealed worthless, at every edge."""
        return Deferred.fromCoroutine(self._replace())

    async def _replace(self) -> None:
        listing = await in_time(self._store.list(COOKIE_KEYS), self._clock)
        old = [item.key for item in listing.items]
        number = 1 + max((_number(key) for key in old), default=max(self._ring, default=0))
        await in_time(self._store.transact([], [self._new_key(number)], old), self._clock)
        _log.info("{event}: every session's cookie is void", event="keys_replaced")

    async def _turn_once(self) -> None:
        now = self._clock.seconds()
        newest = max(self._ring, default=0)
        stale = [
            COOKIE_KEYS + str(number)
            for number, key in self._ring.items()
            if key.created_at + self._kept_seconds < now and number != newest
        ]
        puts: list[Put] = []
        if not newest or self._ring[newest].created_at + NEW_KEY_SECONDS <= now:
            puts = [self._new_key(newest + 1)]
        if puts or stale:
            compares = [Compare(put.key, 0) for put in puts]
            await in_time(self._store.transact(compares, puts, stale), self._clock)
        self._choose()

    def _turn(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._turn_once()).addErrback(self._turn_failed)

    @staticmethod
    def _turn_failed(failure: Failure) -> None:
        """Another edge was faster, or the store is away: the next look will do."""
        if not failure.check(Conflict):
            fault = "operator" if failure.check(StoreError) else "ours"
            _log.warn("no new cookie key could be made: {reason}", reason=failure.value, fault=fault)

    def _new_key(self, number: int) -> Put:
        key = COOKIE_KEYS + str(number)
        secret = b64encode(self._random_bytes(SECRET_SIZE)).decode()
        document = encode_document({"secret": secret, "created_at": self._clock.seconds()})
        return Put(key, self._sealer.seal(key, document))

    def _read(self, listing: Listing) -> None:
        self._ring = {}
        for item in listing.items:
            self._take(item)
        self._rebuild()

    def _changed(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.item is None:
                self._ring.pop(_number(event.key), None)
            else:
                self._take(event.item)
        self._rebuild()

    def _take(self, item: Item) -> None:
        try:
            document = decode_document(self._sealer.unseal(item.key, item.value))
            key = RingKey(b64decode(document["secret"], validate=True), float(document["created_at"]))
            if len(key.secret) != SECRET_SIZE:
                raise BadDocument("a cookie key has another size")
        except (SealBroken, ValueError, KeyError, TypeError) as error:
            _log.error("{key} is not usable: {reason}", key=item.key, reason=repr(error), fault="operator")
        else:
            self._ring[_number(item.key)] = key

    def _rebuild(self) -> None:
        self._keys = SealKeys(
            {number: key.secret for number, key in self._ring.items()}, self._current(), self._random_bytes
        )

    def _choose(self) -> None:
        self._keys.current = self._current()

    def _current(self) -> int:
        """The newest key that every edge knows by now; failing that the oldest there is."""
        known_since = self._clock.seconds() - ACTIVATION_SECONDS
        known = [number for number, key in self._ring.items() if key.created_at <= known_since]
        return max(known) if known else min(self._ring, default=0)


def _number(key: str) -> int:
    text = key.removeprefix(COOKIE_KEYS)
    return int(text) if text.isdecimal() and len(text) < 10 else 0
