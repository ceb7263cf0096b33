"""
Who is at the other end of the admin socket.
"""

from __future__ import annotations

import pwd
import socket
import struct
from dataclasses import dataclass
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")
"""C{struct ucred} of Linux: pid, uid, gid."""


@dataclass(frozen=True)
class Peer:
    """
    A process on this machine, as the kernel knows it.

    @ivar user: the name of the user, or the number if it has none.
    """

    uid: int
    pid: int
    user: str


def peer_of(connection: socket.socket) -> Peer:
    """
    The process that opened a connection to a Unix socket (C{SO_PEERCRED}).

    May ask the system's name service, which may take its time.

    @raise OSError: if the kernel does not say: then nobody is to be served.
    """
    if connection.family != socket.AF_UNIX:
        raise OSError("only a Unix socket says who its peer is")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return Peer(uid, pid, _user_name(uid))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
