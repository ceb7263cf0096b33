"""
C{appproxy check --online}: whether the daemon's own user may read what root put in place.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appproxy.cli.online import Finding
from appproxy.transport.certificates import find_certificates


@dataclass(frozen=True)
class Account:
    """A user of this machine, with all groups."""

    name: str
    user: int
    groups: frozenset[int]

    def may(self, path: Path, right: int) -> bool:
        """
        Whether the mode of a file or folder lets this user.

        @param right: C{os.R_OK} or C{os.X_OK}.
        @raise OSError: if it is not there.
        """
        status = path.stat()
        if status.st_uid == self.user:
            return bool(status.st_mode & right << 6)
        shift = 3 if status.st_gid in self.groups else 0
        return bool(status.st_mode & right << shift)

    def can_read(self, path: Path) -> bool:
        """Whether this user gets to a file, links followed, and may read it."""
        real = path.resolve()
        return self.may(real, os.R_OK) and all(self.may(each, os.X_OK) for each in real.parents)


def account_of_owner(folder: Path) -> Account | None:
    """
    Who runs the daemon: whoever its state folder belongs to.

    @return: L{None} if it is not there, or belongs to root, who may read everything.
    """
    try:
        owner = folder.stat().st_uid
        entry = pwd.getpwuid(owner)
    except (OSError, KeyError):
        return None
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, owner, groups) if owner else None


def check_access(paths: Iterable[Path], account: Account | None) -> Iterator[Finding]:
    """Name every certificate's file that the daemon may not read."""
    if account is None:
        return
    for path in paths:
        try:
            files = {file for found in find_certificates(path) for file in (found.chain, found.key)}
            closed = [file for file in sorted(files) if not account.can_read(file)]
        except OSError:
            # Told by whoever looks at the certificates themselves.
            continue
        for file in closed:
            yield Finding("failed", "certificate", f"{file}: the user {account.name} may not read it")
