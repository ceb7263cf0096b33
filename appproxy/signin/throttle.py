"""
Who fails to sign in again and again is made to wait: guessing states and codes, or making the provider
refuse codes without end, must not go on at full speed.

Passwords are the provider's affair, and so is throttling by account: before its answer nobody here knows
who somebody wants to be. Attempts that succeed are not counted: a whole office may arrive at nine from one
address.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

from twisted.internet.interfaces import IReactorTime

FAILURES: Final = 30
"""In one window, from one address: a person fails a few times, an office of hundreds some dozen."""

WINDOW_SECONDS: Final = 60.0
"""After which one may try again, however often one failed."""

MAXIMUM_ADDRESSES: Final = 10_000
"""That failed lately; the one that failed first is forgotten. Some 2 MB."""

_SITE_BITS: Final = 64
"""Of an IPv6 address: one machine has all addresses of such a network."""


class FailureThrottle:
    """Counts failures by address."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def is_blocked(self, address: str) -> bool:
        """Whether this address failed too often a moment ago."""
        return self._count(_site(address)) >= FAILURES

    def failed(self, address: str) -> None:
        """One more failure of this address."""
        site = _site(address)
        count = self._count(site)
        if count:
            since, _ = self._failures[site]
            self._failures[site] = since, count + 1
            return
        self._failures.pop(site, None)
        if len(self._failures) >= MAXIMUM_ADDRESSES:
            self._failures.popitem(last=False)
        self._failures[site] = self._clock.seconds(), 1

    def _count(self, site: str) -> int:
        since, count = self._failures.get(site, (0.0, 0))
        return count if self._clock.seconds() - since < WINDOW_SECONDS else 0


def _site(address: str) -> str:
    """The address, or the network that it stands for."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return hex(int(parsed) >> _SITE_BITS)
