"""
The C{Negotiate} scheme (RFC 4559) in C{Authorization} and C{WWW-Authenticate}. Pure.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Final

from appproxy.kerberos.spnego import MAXIMUM_TOKEN_BYTES, SpnegoError

_ITEM: Final = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)
"""What stands between the commas of a list; commas in quotes do not count."""

_CHALLENGE: Final = re.compile(rb"(?i)negotiate(?:[ \t]+(\S.*))?", re.DOTALL)

_MAXIMUM_TEXT: Final = (MAXIMUM_TOKEN_BYTES + 2) // 3 * 4


def write_token(token: bytes) -> bytes:
    """What follows C{Negotiate } in a header."""
    return b64encode(token)


def read_challenges(values: Iterable[bytes]) -> bytes | None:
    """
    The token in the values of an answer's C{WWW-Authenticate} headers.

    @return: empty if Negotiate is offered without one; L{None} if it is not offered.
    @raise SpnegoError: if what follows it is no token, or there are two.
    """
    found: bytes | None = None
    for value in values:
        for item in _items(value):
            challenge = _CHALLENGE.fullmatch(item.strip(b" \t"))
            if challenge is None:
                continue
            token = _read_token(challenge[1] or b"")
            if found and token:
                raise SpnegoError("there are two Negotiate tokens")
            found = found or token
    return found


def _items(value: bytes) -> Sequence[bytes]:
    # The answer to a ticket is the only one in its header, and comes with each request.
    return _ITEM.findall(value) if b"," in value or b'"' in value else (value,)


def _read_token(text: bytes) -> bytes:
    if len(text) > _MAXIMUM_TEXT:
        raise SpnegoError(f"the token is over {MAXIMUM_TOKEN_BYTES} bytes")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise SpnegoError("the token is not Base64") from None
