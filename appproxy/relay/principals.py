"""
The numbers under which one tunnel knows its users.

A principal crosses a tunnel once; after that each stream carries its number and
eight bytes of its digest. Numbers are never reused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from appproxy.tunnel.errors import TunnelRefused

MAXIMUM_NUMBER: Final = (1 << 31) - 1

EVICTED_AT_ONCE: Final = 16
"""How many older principals make room for one new one: a thousand groups against sixty users without any."""


class Tellable(Protocol):
    """A L{appproxy.model.principal.Principal}, or one that comes from an edge and is only passed on."""

    @property
    def encoded(self) -> bytes:
        """What PRINCIPAL carries."""

    @property
    def digest(self) -> bytes:
        """The first 8 bytes of the SHA-256 of L{encoded}."""

    def reduced_to(self, claims: frozenset[str], /) -> Tellable:
        """The same user with only these claims."""


class NumbersExhausted(Exception):
    """The tunnel has used up its numbers: another one takes over."""


class Numbered:
    """What of a principal goes into an OPEN."""

    __slots__ = ("claims", "digest", "number", "principal")

    def __init__(self, number: int, digest: bytes, principal: Tellable, claims: frozenset[str]) -> None:
        self.number = number
        self.digest = digest
        self.principal = principal
        self.claims = claims


class PrincipalNumbers:
    """
    @param announce: sends PRINCIPAL.
    @param withdraw: sends FORGET, which also resets the number's streams at the peer.
    @param maximum: how many the peer keeps; the one used least recently makes room.
    """

    def __init__(
        self,
        announce: Callable[[int, bytes], None],
        withdraw: Callable[[int], None],
        maximum: int,
    ) -> None:
        self._announce = announce
        self._withdraw = withdraw
        self._maximum = maximum
        self._known: OrderedDict[Hashable, Numbered] = OrderedDict()
        self._outdated: dict[Hashable, list[int]] = {}
        self._newest: Numbered | None = None
        self._last = 0
        self._count = 0

    def __len__(self) -> int:
        return len(self._known)

    def number_of(self, key: Hashable, principal: Tellable, claims: frozenset[str]) -> Numbered:
        """
        The number of a principal, which is announced first if it is new.

        @param key: the session, or whatever else says which principal this is. The
            same key with another principal or other claims gets a new number; the
            streams of the old one go on until L{forget}.
        @raise NumbersExhausted: at the end of the numbers.
        @raise TunnelRefused: if the peer has no room.
        """
        known = self._known.get(key)
        if known is None:
            return self._enter(key, principal, claims)
        if known.principal is principal and known.claims is claims:
            if known is not self._newest:
                self._known.move_to_end(key)
                self._newest = known
            return known
        if known.principal == principal and known.claims == claims:
            known.principal, known.claims = principal, claims
            self._known.move_to_end(key)
            self._newest = known
            return known
        del self._known[key]
        self._outdated.setdefault(key, []).append(known.number)
        return self._enter(key, principal, claims)

    def forget(self, key: Hashable) -> bool:
        """A session ended; says whether the tunnel knew it."""
        numbers = self._outdated.pop(key, [])
        known = self._known.pop(key, None)
        if known is not None:
            numbers.append(known.number)
        self._count -= len(numbers)
        for number in numbers:
            self._withdraw(number)
        return bool(numbers)

    def _enter(self, key: Hashable, principal: Tellable, claims: frozenset[str]) -> Numbered:
        if self._last >= MAXIMUM_NUMBER:
            raise NumbersExhausted()
        while self._count >= self._maximum and self._evict():
            pass
        told = principal.reduced_to(claims)
        self._announce_in_room(self._last + 1, told.encoded)
        self._last += 1
        self._count += 1
        numbered = Numbered(self._last, told.digest, principal, claims)
        self._known[key] = self._newest = numbered
        return numbered

    def _evict(self) -> bool:
        """Forget who was not seen for longest; says whether there was somebody."""
        oldest = next(iter(self._known), None) if self._known else next(iter(self._outdated), None)
        return oldest is not None and self.forget(oldest)

    def _announce_in_room(self, number: int, encoded: bytes) -> None:
        """Announce; where the peer has no room for so many bytes, the oldest make some."""
        for _ in range(EVICTED_AT_ONCE):
            try:
                self._announce(number, encoded)
            except TunnelRefused:
                if not self._evict():
                    raise
            else:
                return
        self._announce(number, encoded)
