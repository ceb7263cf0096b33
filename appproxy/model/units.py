"""
Durations and sizes as administrators write them: C{"85s"}, C{"64KiB"}.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PATTERN: Final = re.compile(r"(\d{1,12})([A-Za-z]+)\Z")


def parse_duration(text: object) -> float:
    """
    Seconds of C{"250ms"}, C{"85s"}, C{"30m"}, C{"14h"}, C{"7d"}.

    @raise ValueError: with what to write instead.
    """
    if isinstance(text, float):
        return text
    match = _PATTERN.match(text) if isinstance(text, str) else None
    if match is None or match[2] not in _SECONDS:
        raise ValueError('write a duration such as "250ms", "85s", "30m", "14h" or "7d"')
    return int(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """The shortest text that L{parse_duration} reads as this many seconds."""
    if seconds != int(seconds):
        return f"{round(seconds * 1000)}ms"
    whole = int(seconds)
    for unit in ("d", "h", "m"):
        if whole and whole % _SECONDS[unit] == 0:
            return f"{int(whole // _SECONDS[unit])}{unit}"
    return f"{whole}s"


def parse_size(text: object) -> int:
    """
    Bytes of C{"512B"}, C{"64KiB"}, C{"1MiB"}, C{"1GiB"}.

    @raise ValueError: with what to write instead.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _PATTERN.match(text) if isinstance(text, str) else None
    if match is None or match[2] not in _BYTES:
        raise ValueError('write a size such as "512B", "64KiB", "1MiB" or "1GiB"')
    return int(match[1]) * _BYTES[match[2]]


def format_size(size_bytes: int) -> str:
    """The shortest text that L{parse_size} reads as this many bytes."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


Duration = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)
]
"""A pydantic field that reads and writes duration text and holds seconds."""

Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size, return_type=str)]
"""A pydantic field that reads and writes size text and holds bytes."""
