"""
Sealed tokens: what cookies, tickets and requests between our own hosts are made of.

A token is base64url of version, key number, nonce and AES-256-GCM ciphertext.
Purpose and host are authenticated with it, so that a token serves one purpose
at one host only. Pure: keys come from L{appproxy.session.keyring}.
"""

from __future__ import annotations

import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_SIZE: Final = 32
TOKEN_LIMIT: Final = 4096
"""Longest token that is looked at: a cookie's usual limit; all of ours are shorter."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BI")
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_SMALLEST: Final = _HEAD.size + _NONCE_SIZE + _TAG_SIZE


class Purpose(Enum):
    """What a token is for. Each has a key of its own."""

    SESSION_COOKIE = b"__Host-appproxy-session"
    SIGN_IN_COOKIE = b"__Host-appproxy-sign-in"
    SIGN_IN_REQUEST = b"sign-in request"
    STATE = b"state"
    TICKET = b"ticket"


class BadSeal(Exception):
    """The token is not one of ours, is for something else, or its key is gone."""


def derive(secret: bytes, purpose: Purpose) -> AESGCM:
    """One key per purpose (HKDF, RFC 5869)."""
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"appproxy/1/" + purpose.value)
    return AESGCM(kdf.derive(secret))


class SealKeys:
    """
    The ring of secrets as a value: numbers and what is derived of them.

    @ivar current: the number that new tokens are sealed with; 0 while there is none.
    """

    def __init__(
        self,
        secrets: Mapping[int, bytes],
        current: int,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.current = current
        self._keys = {
            (number, purpose): derive(secret, purpose)
            for number, secret in secrets.items()
            for purpose in Purpose
        }
        self._random_bytes = random_bytes

    def seal(self, purpose: Purpose, host: bytes, data: bytes) -> bytes:
        """
        Seal C{data} for one purpose at one host.

        @raise BadSeal: if there is no key yet.
        """
        key = self._keys.get((self.current, purpose))
        if key is None:
            raise BadSeal("no key to seal with")
        head = _HEAD.pack(_VERSION, self.current)
        nonce = self._random_bytes(_NONCE_SIZE)
        sealed = key.encrypt(nonce, data, _associated(head, purpose, host))
        return urlsafe_b64encode(head + nonce + sealed).rstrip(b"=")

    def unseal(self, purpose: Purpose, host: bytes, token: bytes) -> bytes:
        """
        The data of a token.

        @raise BadSeal: always for the same reason, whatever is wrong.
        """
        raw = _decoded(token)
        if len(raw) < _SMALLEST:
            raise BadSeal("not a token of ours")
        version, number = _HEAD.unpack_from(raw)
        key = self._keys.get((number, purpose))
        if version != _VERSION or key is None:
            raise BadSeal("not a token of ours")
        head, nonce, sealed = (
            raw[: _HEAD.size],
            raw[_HEAD.size : _HEAD.size + _NONCE_SIZE],
            raw[_HEAD.size + _NONCE_SIZE :],
        )
        try:
            return key.decrypt(nonce, sealed, _associated(head, purpose, host))
        except InvalidTag:
            raise BadSeal("not a token of ours") from None


def _associated(head: bytes, purpose: Purpose, host: bytes) -> bytes:
    return head + purpose.value + b"\0" + host


def _decoded(token: bytes) -> bytes:
    """Exactly one text per token: padding, other alphabets and stray bits are refused."""
    if len(token) > TOKEN_LIMIT:
        raise BadSeal("not a token of ours")
    try:
        raw = urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    except ValueError:
        raise BadSeal("not a token of ours") from None
    if urlsafe_b64encode(raw).rstrip(b"=") != token:
        raise BadSeal("not a token of ours")
    return raw
