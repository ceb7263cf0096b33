"""
Where Kerberos keeps the tickets with which connections are bound.
"""

from __future__ import annotations

import itertools
from typing import Final

RENEW_SECONDS: Final = 300.0
"""Kerberos never frees a cache in memory: some kilobytes each, at most so often if none of them is good."""

_serial = itertools.count()


class CredentialCache:
    """
    A name in memory. What is in it is used until it expires, also when it is good for nothing any more:
    the account was made anew, say, or the domain controller has other clocks.

    @ivar name: for Kerberos.
    """

    def __init__(self, now: float) -> None:
        self.name = self._new_name()
        self._made = now
        self._worked = False

    def works(self) -> None:
        """A connection was bound with it."""
        self._worked = True

    def renew(self, now: float) -> bool:
        """
        A bind was refused: begin with nothing, unless that was tried lately.

        @return: whether another try may have another end.
        """
        if not self._worked and now - self._made < RENEW_SECONDS:
            return False
        self.name, self._made, self._worked = self._new_name(), now, False
        return True

    @staticmethod
    def _new_name() -> str:
        return f"MEMORY:appproxy-directory-{next(_serial)}"
