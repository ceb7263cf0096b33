"""
Things that can be used once, on whichever edge they arrive: created if absent
in the store, gone when nobody would accept them any more.
"""

from __future__ import annotations

import hashlib
from typing import Final

from twisted.internet.defer import Deferred

from appproxy.store.istore import Compare, Conflict, IStore, Put
from appproxy.store.keys import SPENT, encode_document

CLOCK_SKEW_SECONDS: Final = 60.0
"""How far the clocks of two edges may be apart: kept for that much longer."""


def spent_key(kind: str, identifier: bytes) -> str:
    """The key of one thing: its hash, so that the store never holds a usable one."""
    return SPENT + hashlib.sha256(kind.encode() + b"\0" + identifier).hexdigest()


def spend(store: IStore, kind: str, identifier: bytes, seconds: float) -> Deferred[bool]:
    """
    Use something up.

    @param seconds: how long from now somebody could try to use it again.
    @return: whether this was the first use.
    """
    return Deferred.fromCoroutine(_spend(store, spent_key(kind, identifier), kind, seconds))


async def _spend(store: IStore, key: str, kind: str, seconds: float) -> bool:
    lease = await store.lease(seconds + CLOCK_SKEW_SECONDS)
    try:
        await store.transact([Compare(key, 0)], [Put(key, encode_document({"kind": kind}), lease)])
    except Conflict:
        await store.revoke(lease)
        return False
    return True
