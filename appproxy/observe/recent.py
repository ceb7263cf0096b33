"""
The requests that ended lately, for whoever asks what became of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appproxy.observe.transaction import Transaction

GOOD_REMEMBERED: Final = 4096
"""Seconds of a busy edge: whoever traces a good request has just made it."""

REFUSED_REMEMBERED: Final = 4096
"""Requests that were turned away, sent to sign in, or given up by the client: anybody can make those."""

FAILED_REMEMBERED: Final = 8192
"""Requests that failed by ours or an application's (5xx, or broken off): what is asked for hours later."""

LONGEST_TEXT: Final = 1024
"""
Bytes of a target, host or browser that are kept. With all three at their longest, a full memory is some
60 MB; with what browsers send, 12.
"""

_QUERY: Final = 63


class _Ring:
    """The latest of one sort."""

    __slots__ = ("_kept", "_next", "_size")

    def __init__(self, size: int) -> None:
        self._kept: list[Transaction | None] = [None] * size
        self._size = size
        self._next = 0

    def keep(self, transaction: Transaction) -> None:
        """Instead of the oldest."""
        place = self._next
        self._kept[place] = transaction
        self._next = place + 1 if place + 1 < self._size else 0

    def all(self) -> list[Transaction]:
        """What there is, in no order."""
        return [each for each in self._kept if each is not None]


class Recent:
    """
    Three rings, so that a flood of one sort leaves the others alone. What is kept has
    neither query strings nor long texts.
    """

    __slots__ = ("_failed", "_good", "_refused")

    def __init__(self) -> None:
        self._good = _Ring(GOOD_REMEMBERED)
        self._refused = _Ring(REFUSED_REMEMBERED)
        self._failed = _Ring(FAILED_REMEMBERED)

    def keep(self, transaction: Transaction) -> None:
        """A request is over, and written down: nobody needs all of it any more."""
        t = transaction
        if _QUERY in t.target or len(t.target) + len(t.host) + len(t.user_agent) > LONGEST_TEXT:
            _shorten(t)
        if t.status >= 500:
            self._failed.keep(t)
        elif t.error or t.status >= 400 or t.reason == "client_gone":
            self._refused.keep(t)
        elif t.reason:
            # An answer that was broken off.
            self._failed.keep(t)
        else:
            self._good.keep(t)

    def __iter__(self) -> Iterator[Transaction]:
        return iter(self._failed.all() + self._refused.all() + self._good.all())

    def find(self, transaction_id: str) -> Transaction | None:
        """A request by its id."""
        return next((each for each in self if each.id == transaction_id), None)


def _shorten(transaction: Transaction) -> None:
    """Query strings carry secrets."""
    transaction.target = transaction.target.partition(b"?")[0][:LONGEST_TEXT]
    transaction.host = transaction.host[:LONGEST_TEXT]
    transaction.user_agent = transaction.user_agent[:LONGEST_TEXT]
