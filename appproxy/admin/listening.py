"""
The Unix socket itself: who may open it, and what a killed daemon left behind.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.logger import Logger

_log = Logger()


def listen(reactor: IReactorUNIX, path: Path, group: str, site: Factory[Any]) -> IListeningPort:
    """
    Listen on a Unix socket that its owner and one group can use (0660).

    @param group: the group's name; empty for the owner alone.
    @raise CannotListenError: if something else is there, or listens there.
    """
    _remove_stale(path)
    port = reactor.listenUNIX(str(path), site, mode=0o600)
    if group:
        _share(path, group)
    return port


def _remove_stale(path: Path) -> None:
    """Clear away what a daemon that was killed left behind; never a socket that is in use."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _share(path: Path, group: str) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(0o660)
    except (KeyError, OSError) as error:
        _log.warn(
            "only this daemon's user can use {path}: the group {group} cannot be given it: {reason}",
            path=str(path),
            group=group,
            reason="there is no such group" if isinstance(error, KeyError) else str(error),
            fault="operator",
        )
