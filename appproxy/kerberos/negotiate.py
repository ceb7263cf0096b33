"""
The C{Negotiate} scheme (RFC 4559) in C{Authorization} and C{WWW-Authenticate}. Pure.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from typing import Final

from appproxy.kerberos.spnego import MAXIMUM_TOKEN_BYTES, SpnegoError, wrap

_ITEM: Final = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)
"""What stands between the commas of a list; commas in quotes do not count."""

_CHALLENGE: Final = re.compile(rb"(?i)negotiate(?:[ \t]+(\S.*))?", re.DOTALL)

_COMMA: Final = 0x2C
_QUOTE: Final = 0x22

MAXIMUM_KEPT_BYTES: Final = 8 * 1024
"""
Of longer tokens nothing is kept. Those of users in a hundred groups have some 5 KiB; what is kept takes that,
and a third more.
"""

_BASE64_GROUP: Final = 3
"""So many bytes become four letters, whatever comes behind them."""

_MAXIMUM_TEXT: Final = (MAXIMUM_TOKEN_BYTES + 2) // 3 * 4


def write_token(token: bytes) -> bytes:
    """What follows C{Negotiate } in a header."""
    return b2a_base64(token, newline=False)


class TokenWriter:
    """
    Writes the tokens of one ticket. Each begins with the ticket itself, which is most of it: its text is
    written once, and only what follows (the authenticator, which is always another) each time.

    @ivar wrapped: whether tokens are wrapped in SPNEGO.
    """

    __slots__ = ("_head", "_last", "_size", "_text", "wrapped")

    def __init__(self, wrapped: bool) -> None:
        self.wrapped = wrapped
        # What all tokens of a size begin with, and the text of that. A number in the authenticator makes one
        # in ten a byte shorter, so only two such in a row count for anything: the first of them waits.
        self._size = -1
        self._last = self._head = self._text = b""

    def write(self, token: bytes) -> bytes:
        """
        What follows C{Negotiate } in a header.

        @param token: the mechanism's.
        """
        if len(token) == self._size and token.startswith(self._head):
            self._last = b""
            return self._text + b2a_base64(token[len(self._head) :], newline=False)
        whole = wrap(token) if self.wrapped else token
        text = b2a_base64(whole, newline=False)
        self._learn(token, text, len(whole) - len(token))
        return text

    def _learn(self, token: bytes, text: bytes, before: int) -> None:
        """
        @param before: how many bytes the wrapping put in front of it: as many for each token of its size.
        """
        last, self._last = self._last, b""
        if len(last) == len(token):
            groups = (before + _shared(last, token)) // _BASE64_GROUP
            size = groups * _BASE64_GROUP - before
            if size > 0:
                self._size, self._head, self._text = len(token), token[:size], text[: groups * 4]
        elif len(token) <= MAXIMUM_KEPT_BYTES:
            self._last = token


def _shared(one: bytes, other: bytes) -> int:
    """With how many bytes both begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


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
    return _ITEM.findall(value) if _COMMA in value or _QUOTE in value else (value,)


def _read_token(text: bytes) -> bytes:
    if len(text) > _MAXIMUM_TEXT:
        raise SpnegoError(f"the token is over {MAXIMUM_TOKEN_BYTES} bytes")
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError:
        raise SpnegoError("the token is not Base64") from None
