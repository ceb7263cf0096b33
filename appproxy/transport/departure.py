"""
Whether the other side of a connection has left while nothing is read from it.

Of a socket that the reactor does not watch nobody hears that: whoever pauses it has to look.
"""

from __future__ import annotations

import socket
from typing import Final

_LEFT: Final = frozenset({7, 8})
"""C{TCP_CLOSE}, after a reset, and C{TCP_CLOSE_WAIT}, after a FIN: states in C{netinet/tcp.h}."""

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)


def has_left(transport: object) -> bool:
    """
    Whether the peer has closed the connection, or its half of it, read or not.

    @param transport: of a protocol; the socket may be some layers below.
    @return: L{False} where the system does not tell.
    """
    while transport is not None and _TCP_INFO is not None:
        handle = getattr(transport, "socket", None)
        if isinstance(handle, socket.socket):
            return _state(handle, _TCP_INFO) in _LEFT
        transport = getattr(transport, "transport", None)
    return False


def _state(handle: socket.socket, option: int) -> int:
    try:
        return handle.getsockopt(socket.IPPROTO_TCP, option, 1)[0]
    except OSError:
        # No TCP, or no socket any more: its protocol is told by others.
        return 0
