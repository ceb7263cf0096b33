"""
The principals that one tunnel knows: section 6 of C{docs/tunnel.md}.
"""

from __future__ import annotations

import hashlib
from typing import Final

from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.messages import ANONYMOUS, NO_DIGEST, Beginning

DIGEST_SIZE: Final = 8


def digest_of(claims: bytes) -> bytes:
    """What OPEN carries beside the principal's number."""
    return hashlib.sha256(claims).digest()[:DIGEST_SIZE]


class KnownPrincipal:
    """
    One principal as PRINCIPAL brought it.

    @ivar claims: opaque here; encoded by L{appproxy.model.principal.Principal}.
    @ivar proof: the provider's signed token, or nothing.
    @ivar beginning: of the last OPEN for it.
    """

    __slots__ = ("beginning", "claims", "digest", "proof")

    def __init__(self, claims: bytes, proof: bytes) -> None:
        self.claims = claims
        self.proof = proof
        self.digest = digest_of(claims)
        self.beginning: Beginning | None = None


class Principals:
    """
    Numbers to principals, for either side of a tunnel.

    A number means one principal for the tunnel's whole life, or none any more.
    """

    __slots__ = ("_known", "last", "size")

    def __init__(self) -> None:
        self._known: dict[int, KnownPrincipal] = {}
        self.last = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, number: int) -> KnownPrincipal | None:
        """The principal of this number, if it was told and not forgotten."""
        return self._known.get(number)

    def add(self, number: int, claims: bytes, proof: bytes) -> None:
        """
        Learn a principal.

        @raise TunnelError: C{principal}, if the number is not above all earlier ones.
        """
        if number <= self.last:
            raise TunnelError("principal", f"principal {number} comes after {self.last}")
        self._known[number] = KnownPrincipal(claims, proof)
        self.last = number
        self.size += len(claims) + len(proof)

    def forget(self, number: int) -> bool:
        """Forget a principal; whether it was known."""
        known = self._known.pop(number, None)
        if known is None:
            return False
        self.size -= len(known.claims) + len(known.proof)
        return True

    def check(self, number: int, digest: bytes) -> None:
        """
        Make sure that both sides mean the same principal.

        @raise TunnelError: C{principal}.
        """
        if number == ANONYMOUS:
            expected = NO_DIGEST
        else:
            known = self._known.get(number)
            if known is None:
                raise TunnelError("principal", f"principal {number} is unknown")
            expected = known.digest
        if digest != expected:
            raise TunnelError("principal", f"principal {number} is somebody else")
