"""
Keytabs: what is in one, and whether others could have it.

The library says "No credentials cache found" of a keytab that is missing, unreadable or another
account's; this says which. No key is kept, or named in a text.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appproxy.kerberos.causes import Cause, KerberosError, Stage

MAXIMUM_BYTES: Final = 256 * 1024
"""Some thousand keys; a connector's keytab has a handful."""

_ALLOWED_TO_ROOT_GROUP: Final = 0o440
_VERSION: Final = b"\x05\x02"

_NAMES_SHOWN: Final = 5


class KeytabError(KerberosError):
    """A keytab that cannot be used: L{Cause.keytab_unusable} of L{Stage.own_ticket}."""

    def __init__(self, detail: str) -> None:
        super().__init__(Stage.own_ticket, Cause.keytab_unusable, detail)


@dataclass(frozen=True)
class Entry:
    """
    One key, without the key.

    @ivar principal: C{name@REALM}.
    @ivar version: the key's version number (kvno).
    @ivar encryption: the number of the encryption type (RFC 3961): 17 and 18 are AES.
    """

    principal: str
    version: int
    encryption: int


def check_keytab(path: Path, principal: str, owner: int | None = None) -> list[Entry]:
    """
    See that a keytab is safe and has a key of an account.

    It has to belong to root or to this process's user, and nobody else may read or change it, but for
    root's group: so systemd hands out credentials. A keytab makes its reader any user of the
    applications, so a group of ordinary accounts is too much, though other secrets of ours allow it.

    @param owner: a user to whom it may belong, too: the daemon's, where root does something for it.
    @return: that account's entries.
    @raise KeytabError: naming the file and what to do.
    """
    entries = parse_keytab(_read(path, {0, os.geteuid(), *([] if owner is None else [owner])}), str(path))
    wanted = [entry for entry in entries if entry.principal == principal]
    if not wanted:
        others = sorted({entry.principal for entry in entries})
        shown = ", ".join(others[:_NAMES_SHOWN]) + (", ..." if len(others) > _NAMES_SHOWN else "")
        raise KeytabError(f"{path} has no key of {principal}, but of: {shown or 'nobody'}")
    return wanted


def _read(path: Path, owners: Set[int]) -> bytes:
    try:
        # A named pipe would hold up whoever opens it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check_status(path, os.fstat(file.fileno()), owners)
            content = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise KeytabError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAXIMUM_BYTES:
        raise KeytabError(f"{path} is over {MAXIMUM_BYTES} bytes: that is no keytab")
    return content


def _check_status(path: Path, status: os.stat_result, owners: Set[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeytabError(f"{path} is not a file")
    if status.st_uid not in owners:
        raise KeytabError(f"{path} belongs to another user (uid {status.st_uid}): chown it to the daemon's")
    allowed = 0o700 | (_ALLOWED_TO_ROOT_GROUP if status.st_gid == 0 else 0)
    if stat.S_IMODE(status.st_mode) & 0o777 & ~allowed:
        raise KeytabError(f"{path} can be read or changed by others: chmod 600 {path}")


def parse_keytab(content: bytes, place: str = "keytab") -> list[Entry]:
    """
    What is in a keytab (MIT's format, version 2).

    @raise KeytabError: if it is none, or breaks off.
    """
    reader = _Reader(content, place)
    if reader.take(2) != _VERSION:
        raise KeytabError(f"{place} is not a keytab of version 2")
    entries = []
    while reader.left:
        size = int.from_bytes(reader.take(4), "big", signed=True)
        body = reader.take(abs(size))
        # A removed entry leaves a hole, whose size is negative.
        if size > 0:
            entries.append(_entry(_Reader(body, place)))
    return entries


def _entry(reader: _Reader) -> Entry:
    count = reader.number(2)
    realm = reader.text()
    name = "/".join(reader.text() for _ in range(count))
    reader.take(8)  # name type, time of writing
    version = reader.number(1)
    encryption = reader.number(2)
    reader.take(reader.number(2))
    if reader.left >= 4:
        version = reader.number(4) or version
    return Entry(f"{name}@{realm}", version, encryption)


class _Reader:
    """Takes bytes from the front of some."""

    def __init__(self, data: bytes, place: str) -> None:
        self._data = data
        self._at = 0
        self._place = place

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise KeytabError(f"{self._place} breaks off: copy it anew")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def text(self) -> str:
        return self.take(self.number(2)).decode("utf-8", "backslashreplace")
