"""
Loopback ports for servers that are about to start.
"""

from __future__ import annotations

import random
import socket
from itertools import count
from typing import Final

FIRST: Final = 10_000
BEHIND: Final = 32_768
"""
Where Linux begins to take ports for connections (C{ip_local_port_range} in ip(7)). A port from there may
be gone again when the server that is to listen on it has started.
"""

_SPAN: Final = BEHIND - FIRST

_numbers = count(random.randrange(_SPAN))
"""One after another, so that none is given to two servers of which neither listens yet."""


def free_port() -> int:
    """
    A port that nobody listens on at the moment, another one each time.

    @raise OSError: if there is none.
    """
    for _ in range(_SPAN):
        port = FIRST + next(_numbers) % _SPAN
        if _is_free(port):
            return port
    raise OSError(f"no port of {FIRST} to {BEHIND - 1} is free on 127.0.0.1")


def free_ports(number: int) -> list[int]:
    """So many of them."""
    return [free_port() for _ in range(number)]


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
