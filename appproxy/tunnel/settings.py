"""
The limits of a tunnel: what a session is made with, and what its peer announced.

Section 9 of C{docs/tunnel.md} has the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appproxy import __version__

KIB: Final = 1 << 10
MIB: Final = 1 << 20

QUESTIONS: Final = "questions"
"""The feature of an acceptor that answers, or passes on, the questions of section 14."""

MAX_STREAMS_EVER: Final = 1 << 20
MAX_WINDOW_EVER: Final = 1 << 30
MAX_BYTES_EVER: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """
    What this side accepts, and how it calls itself.

    @ivar max_streams: how many streams the peer may have open at once.
    @ivar initial_window: credit that every stream starts with.
    @ivar max_window: the most credit that one stream grows to.
    @ivar growth_limit: what all streams' credit beyond C{initial_window} sums up to at most.
    @ivar max_principals: how many principals the peer may have told us without FORGET.
    @ivar max_principal_bytes: the sum of their payloads.
    @ivar max_config: the largest CONFIG document.
    @ivar software: for the peer's log and for C{status}.
    @ivar features: names of optional features.
    """

    max_streams: int = 2000
    initial_window: int = 64 * KIB
    max_window: int = 8 * MIB
    growth_limit: int = 64 * MIB
    max_principals: int = 20_000
    max_principal_bytes: int = 64 * MIB
    max_config: int = 16 * MIB
    software: str = f"appproxy/{__version__}"
    features: tuple[str, ...] = (QUESTIONS,)


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """What the peer announced in HELLO, as SETTINGS changed it since."""

    max_streams: int = 100
    initial_window: int = 64 * KIB
    max_principals: int = 1000
    max_principal_bytes: int = 1 * MIB
    max_config: int = 1 * MIB


BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "max_streams": (0, MAX_STREAMS_EVER),
    "initial_window": (1 * KIB, MAX_WINDOW_EVER),
    "max_principals": (0, MAX_STREAMS_EVER),
    "max_principal_bytes": (0, MAX_BYTES_EVER),
    "max_config": (0, MAX_BYTES_EVER),
}
"""The smallest and largest value that may be announced."""

CHANGEABLE: Final = frozenset(BOUNDS) - {"initial_window"}
"""What SETTINGS may change. Streams under way could not tell a new window size from the old one."""
