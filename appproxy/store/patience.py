"""
How long one answer of the store is waited for.
"""

from __future__ import annotations

from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from appproxy.store.istore import StoreUnavailable

ANSWER_SECONDS: Final = 10.0
"""Longest wait for one answer: a disk or a network that needs more does not work."""

_T = TypeVar("_T")


def in_time(answer: Deferred[_T], clock: IReactorTime) -> Deferred[_T]:
    """
    An answer of the store, within bounded time.

    @raise StoreUnavailable: (as a failure) if it takes too long.
    """

    def too_slow(result: _T | Failure, seconds: float) -> _T | Failure:
        if isinstance(result, Failure):
            result.trap(CancelledError)
            raise StoreUnavailable(f"the store gave no answer within {seconds:g} s")
        return result

    return answer.addTimeout(ANSWER_SECONDS, clock, too_slow)
