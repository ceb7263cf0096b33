"""What every TCP connection of ours asks of the kernel."""

from __future__ import annotations

import socket
from typing import Any, Final

UNSENT_BYTES: Final = 128 << 10
"""
TCP_NOTSENT_LOWAT. Without it the kernel keeps up to 4 MB (net.ipv4.tcp_wmem) for each reader that stalls; a
few hundred of them use up what it has for all connections of the machine (net.ipv4.tcp_mem), and then
nobody gets on.
"""


def prepare_transport(transport: Any) -> None:
    """No delay for small writes, probes for vanished peers, little kept by the kernel; only TCP has these."""
    _limit_unsent(transport)
    for name in ("setTcpNoDelay", "setTcpKeepAlive"):
        switch = getattr(transport, name, None)
        if switch is not None:
            switch(True)


def _limit_unsent(transport: Any) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    while transport is not None and option is not None:
        handle = getattr(transport, "socket", None)
        if isinstance(handle, socket.socket):
            if handle.family in (socket.AF_INET, socket.AF_INET6):
                handle.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
            return
        transport = getattr(transport, "transport", None)
