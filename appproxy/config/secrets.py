"""
Secrets, which a configuration file names and never holds.
"""

from __future__ import annotations

from pathlib import Path

from appproxy.config.fields import CREDENTIAL
from appproxy.store.files import UnsafeFile, read_private


class SecretUnavailable(Exception):
    """A secret cannot be read. The message names the file, never what is in it."""


def only_in_unit(path: Path) -> str:
    """Why there is no such file here: it is one of systemd's credentials. Empty if it is not."""
    if not str(path).startswith(CREDENTIAL):
        return ""
    return f"{path} is there only in a systemd unit with LoadCredential="


def read_secret(path: Path) -> str:
    """
    The text of a secret's file, without line ends around it.

    @raise SecretUnavailable: if it is missing, empty, too long, not text, or open to others.
    """
    if elsewhere := only_in_unit(path):
        raise SecretUnavailable(elsewhere)
    try:
        text = read_private(path).decode("utf-8").strip("\r\n")
    except UnsafeFile as error:
        raise SecretUnavailable(str(error)) from None
    except OSError as error:
        raise SecretUnavailable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{path} is not UTF-8 text") from None
    if not text:
        raise SecretUnavailable(f"{path} is empty")
    return text
