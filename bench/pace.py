"""
How fast the processor itself is at the moment.

On a virtual machine others may slow it down without being seen: their work is
then counted as ours. A fixed piece of work shows it.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final

_TURNS: Final = 30_000
_HASHED: Final = bytes(1 << 20)


def pace() -> float:
    """Milliseconds of CPU time for a fixed piece of work, about 10 on a processor of 2024."""
    start = time.process_time()
    for _ in range(4):
        hashlib.sha256(_HASHED).digest()
    numbers: dict[int, int] = {}
    for number in range(_TURNS):
        numbers[number & 1023] = number * 3
    return (time.process_time() - start) * 1e3
