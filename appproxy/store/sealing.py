"""
Secrets at rest: AES-256-GCM with a key that is not in the store.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appproxy.store.files import UnsafeFile, create_private, read_private

KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12
_VERSION: Final = b"\x01"


class SealBroken(Exception):
    """What was to be unsealed was changed, moved, or sealed with another key."""


class Sealer:
    """
    Seals values for their place in the store: a value copied to another key's
    place does not open there.

    Nonces are random; NIST SP 800-38D (section 8.3) allows 2^32 of them for
    one key, a number of writes that no store here comes near.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a sealing key has {KEY_SIZE} bytes")
        self._cipher = AESGCM(key)

    def seal(self, name: str, value: bytes) -> bytes:
        """
        @param name: the key in the store that the value is put under.
        """
        nonce = os.urandom(_NONCE_SIZE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, value, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """
        @raise SealBroken: if this was not sealed with this key for this name.
        """
        nonce, rest = sealed[1 : 1 + _NONCE_SIZE], sealed[1 + _NONCE_SIZE :]
        if sealed[:1] != _VERSION or len(nonce) != _NONCE_SIZE:
            raise SealBroken(f"{name} is not sealed in a known form")
        try:
            return self._cipher.decrypt(nonce, rest, name.encode())
        except InvalidTag:
            raise SealBroken(f"{name} was changed, or sealed with another key") from None


def load_key(path: Path) -> bytes:
    """
    Read a sealing key: 32 bytes, base64 on one line.

    @raise UnsafeFile: if others can read it, or it is no key.
    @raise OSError: if it cannot be read.
    """
    try:
        key = base64.b64decode(read_private(path).strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_SIZE:
        raise UnsafeFile(f"{path} does not hold a key: {KEY_SIZE} bytes in base64")
    return key


def load_or_make_key(path: Path) -> bytes:
    """
    Read a sealing key, and make the file (0600) first if there is none.

    @raise UnsafeFile: if others can read it, or it is no key.
    @raise OSError: if it can neither be read nor made.
    """
    try:
        return load_key(path)
    except FileNotFoundError:
        pass
    try:
        create_private(path, base64.b64encode(os.urandom(KEY_SIZE)) + b"\n")
    except FileExistsError:
        pass
    return load_key(path)
