"""
Files that hold secrets: written whole or not at all, readable by their owner.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

_FORBIDDEN_MODE: Final = 0o037
"""Others may do nothing and the group may not write. It may read: that is how
systemd hands a credential to a unit's user."""

MAXIMUM_SECRET_FILE_SIZE: Final = 64 << 10
"""Keys and certificate chains are a few KiB."""


class UnsafeFile(OSError):
    """A file with a secret is open to others, or is not what it should be."""


def read_private(path: Path) -> bytes:
    """
    Read a file that holds a secret.

    @raise UnsafeFile: if others can read it, or it is too large.
    @raise OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & _FORBIDDEN_MODE:
            raise UnsafeFile(f"{path} holds a secret and others can read or change it: chmod 600 {path}")
        content = file.read(MAXIMUM_SECRET_FILE_SIZE + 1)
    if len(content) > MAXIMUM_SECRET_FILE_SIZE:
        raise UnsafeFile(f"{path} is too large to be what it should be")
    return content


def write_private(path: Path, content: bytes) -> None:
    """
    Put a file (0600) in place, on the disk before its name is.

    @raise OSError: if it cannot be written.
    """
    temporary = _write_temporary(path, content)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink()
        raise
    sync_directory(path.parent)


def create_private(path: Path, content: bytes) -> None:
    """
    Like L{write_private}, but never replaces a file.

    @raise FileExistsError: if there is one by that name.
    """
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names given in a directory survive a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary
