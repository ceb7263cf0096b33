"""
Secrets, which a configuration file names and never holds.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from appproxy.config.fields import CREDENTIAL

MAXIMUM_SECRET_SIZE: Final = 64 << 10
"""Bytes: any secret or key fits; a path that points at something else is noticed."""


class SecretUnavailable(Exception):
    """A secret cannot be read. The message names the file, never what is in it."""


def read_secret(path: Path) -> str:
    """
    The text of a secret's file, without line ends around it.

    @raise SecretUnavailable: if it is missing, empty, too long, not text, or readable by everyone.
    """
    if str(path).startswith(CREDENTIAL):
        raise SecretUnavailable(f"{path} is there only in a systemd unit with LoadCredential=")
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(MAXIMUM_SECRET_SIZE + 1)
    except OSError as error:
        raise SecretUnavailable(f"{path} cannot be read: {error.strerror}") from None
    if mode & stat.S_IRWXO:
        raise SecretUnavailable(f"{path} is open to every user of this machine; chmod o= {path}")
    return _text_of(content, path)


def _text_of(content: bytes, path: Path) -> str:
    if len(content) > MAXIMUM_SECRET_SIZE:
        raise SecretUnavailable(f"{path} is longer than a secret")
    try:
        text = content.decode("utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{path} is not UTF-8 text") from None
    if not text:
        raise SecretUnavailable(f"{path} is empty")
    return text
