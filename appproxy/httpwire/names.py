"""
Header names: what a token is, and memos of what was found out about a name.

A browser sends the same dozen spellings with every request, so each is
judged once and then costs one look-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from appproxy.httpwire.errors import BadMessage

MEMO_SIZE: Final = 2048
"""Names that a memo holds; a peer that invents more only makes it start anew."""

MEMO_NAME_SIZE: Final = 64
"""Longer names are judged each time, so that a memo stays within some 100 KiB."""

_V = TypeVar("_V")

is_token: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
"""Whether all of the bytes are one token (RFC 9110, section 5.6.2)."""

_not_alphanumeric: Final = re.compile(rb"[^a-z0-9]+").sub


def plain_name(name: bytes) -> bytes:
    """
    What all spellings of a name have in common: its letters and digits.

    CGI, WSGI, PHP and some servers see C{X_Forwarded.For} and
    C{x-forwarded-for} as one variable, so one look-alike counts as another.
    """
    return _not_alphanumeric(b"", name.lower())


class NameMemo(dict[bytes, _V], Generic[_V]):
    """
    A bounded memo from names as received to what C{judge} says of them.
    """

    def __init__(self, judge: Callable[[bytes], _V]) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, name: bytes) -> _V:
        verdict = self._judge(name)
        if len(name) <= MEMO_NAME_SIZE:
            if len(self) >= MEMO_SIZE:
                self.clear()
            self[name] = verdict
        return verdict


def _line_start(name: bytes) -> bytes:
    if not is_token(name):
        raise BadMessage(400, "header_name")
    return b"\r\n" + name + b": "


LINE_STARTS: Final[NameMemo[bytes]] = NameMemo(_line_start)
"""From a name to what begins its line and ends the last one; raises L{BadMessage} for what is no token."""

_known_tokens: Final[set[bytes]] = set()

are_known_tokens: Final = _known_tokens.issuperset
"""Whether all of these names passed L{check_names} lately: the quick half of the check."""


def check_names(names: Iterable[bytes]) -> None:
    """
    Refuse names that are not tokens.

    @raise BadMessage: at the first one.
    """
    for name in names:
        if not is_token(name):
            raise BadMessage(400, "header_name")
        if len(name) <= MEMO_NAME_SIZE:
            if len(_known_tokens) >= MEMO_SIZE:
                _known_tokens.clear()
            _known_tokens.add(name)
