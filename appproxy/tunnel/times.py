"""
TIMES: what a connector says of the time that a request took there, and a relay
of whose connector it was. Section 4 of C{docs/tunnel.md}.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from mypy_extensions import i64

from appproxy.tunnel.frames import TIMES_LIMIT, u32_at

_TIMES: Final = Struct(">III")

TIMES_SIZE: Final = 12
UNKNOWN_TIME: Final = (1 << 32) - 1
"""Not known."""
LONGEST_TIME: Final = UNKNOWN_TIME - 1
"""So long, or longer."""

NAME_BYTES: Final = TIMES_LIMIT - TIMES_SIZE
"""What a frame has room for: of a longer name, the beginning."""


def pack_times(connector: float, backend: float, sign_on: float) -> bytes:
    """
    The payload of TIMES.

    @param connector: seconds at the connector; C{backend}: at the application; C{sign_on}: until the
        user was signed on. Below 0: not known.
    """
    return _TIMES.pack(_microseconds(connector), _microseconds(backend), _microseconds(sign_on))


def name_times(payload: bytes, connector: str) -> bytes:
    """
    As a relay passes TIMES on.

    @param payload: what the connector said; nothing if it said nothing.
    @param connector: its name, as the relay knows it; what the connector may have said of itself is dropped.
    """
    times = payload[:TIMES_SIZE] if len(payload) >= TIMES_SIZE else pack_times(-1.0, -1.0, -1.0)
    return times + connector.encode()[:NAME_BYTES]


def named_in(payload: bytes) -> str:
    """The connector that a relay named; empty if none is."""
    return payload[TIMES_SIZE:].decode("utf-8", "ignore")


def _microseconds(seconds: float) -> int:
    return min(int(seconds * 1_000_000), LONGEST_TIME) if seconds >= 0 else UNKNOWN_TIME


def seconds_at(payload: bytes, offset: i64) -> float:
    """One of the times, in seconds; -1 if it is not known."""
    microseconds = u32_at(payload, offset)
    return -1.0 if microseconds == UNKNOWN_TIME else microseconds / 1_000_000
