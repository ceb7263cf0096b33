"""
The Unix socket itself: who may open it, and what a killed daemon left behind.
"""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from appproxy.transport.addresses import ListenAddress

_log = Logger()


def listen(reactor: IReactorUNIX, address: ListenAddress, group: str, site: Factory[Any]) -> IListeningPort:
    """
    Listen on a Unix socket that its owner and one group can use (0660).

    @param group: the group's name; empty for the owner alone.
    @raise CannotListenError: if something else is there, or listens there.
    """
    try:
        address.remove_stale_socket()
    except OSError as error:
        raise CannotListenError(None, address.host, error) from error
    port = reactor.listenUNIX(address.host, site, mode=0o600)
    if group:
        _share(Path(address.host), group)
    return port


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
