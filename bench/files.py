"""
How many files a process may have open.
"""

from __future__ import annotations

import resource
from typing import Final

WANTED: Final = 16_384
"""A few thousand connections, each with two ends."""


def raise_limit() -> None:
    """Allow this process, and what it starts from now on, as many as it needs, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = WANTED
    if soft != resource.RLIM_INFINITY and soft < WANTED:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(WANTED, hard), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
