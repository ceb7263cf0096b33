"""
One header, known to be well-formed, and the reading of its line.

Whoever holds a L{Field} need not look at its bytes again: its line can be
written into any head. Most lines come again and again, with every request of
a browser and every answer of a server, so what was read is remembered by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from mypy_extensions import mypyc_attr

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.names import AUTHORIZATION, COOKIE, SET_COOKIE, Name, is_token, known_name, name_of

MEMO_LINES: Final = 4096
"""
Lines that are remembered: the headers of some hundred browsers. A peer that invents more
only makes the memo start anew.
"""

MEMO_LINE_SIZE: Final = 256
"""Longer lines are read each time, so that the memo stays within some 3 MiB."""

_CONTROLS: Final = b"".join(bytes([code]) for code in (*range(9), *range(10, 32), 127))
_CONTROLS_CHANGED: Final = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
"""Shows what a value does not consist of (RFC 9110, section 5.5)."""

NOT_REMEMBERED: Final = frozenset({COOKIE, SET_COOKIE, AUTHORIZATION})
"""Secrets, of which each user has others."""

_T = TypeVar("_T")

Pair: TypeAlias = tuple[bytes, bytes]


@mypyc_attr(acyclic=True, free_list_len=1)
class Field:
    """
    A header that may stand in a head: its name is a token, its value has no control
    characters and no outer blanks (RFC 9110, section 5.5).

    Reads like a pair of name and value.

    @ivar name: as it was spelt.
    @ivar line: name and value as a line, without its end.
    @ivar known: what is known of the name.
    @ivar exact: whether it was read from just this line, blanks included, or was never read.
    @ivar kind: of the name, as L{appproxy.httpwire.names} counts them.
    """

    __slots__ = ("exact", "kind", "known", "line", "name", "value")

    def __init__(self, name: bytes, value: bytes, known: Name) -> None:
        """For bytes that were checked: see L{field} and L{read_line}."""
        self.name = name
        self.value = value
        self.known = known
        self.kind = known.kind
        self.line = name + b": " + value
        self.exact = True

    @property
    def pair(self) -> Pair:
        """Name and value."""
        return (self.name, self.value)

    def __iter__(self) -> Iterator[bytes]:
        return iter((self.name, self.value))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Field):
            return self.name == other.name and self.value == other.value
        return self.pair == other

    def __hash__(self) -> int:
        return hash(self.pair)

    def __repr__(self) -> str:
        return repr(self.pair)


Fields: TypeAlias = list[Field]

_remembered: Final[dict[bytes, Field]] = {}


def remember(memo: dict[bytes, _T], line: bytes, meaning: _T) -> None:
    """Keep what a line means, if it is short; a memo that is full starts anew."""
    if len(line) <= MEMO_LINE_SIZE:
        if len(memo) >= MEMO_LINES:
            memo.clear()
        memo[line] = meaning


def is_value(value: bytes) -> bool:
    """Whether this may stand in a line; blanks around it are the caller's business."""
    # A third of what it costs to delete what is allowed and to see whether anything is left.
    return value.translate(_CONTROLS_CHANGED) == value


def field(name: bytes, value: bytes) -> Field:
    """
    A header of ours.

    @raise BadMessage: if the name is no token, or the value cannot stand in a line.
    """
    if not is_token(name):
        raise BadMessage(400, "header_name")
    if not is_value(value) or value != value.strip(b" \t"):
        raise BadMessage(400, "header_value")
    return Field(name, value, name_of(name))


def fields(pairs: Iterable[Pair]) -> Fields:
    """
    Headers of ours.

    @raise BadMessage: as L{field}.
    """
    return [field(name, value) for name, value in pairs]


def read_line(line: bytes) -> Field | None:
    """
    Read a header's line.

    @param line: without its end.
    @return: L{None} if it is not plainly a token, a colon and a value.
    """
    name, colon, value = line.partition(b":")
    if not colon:
        return None
    value = value.strip(b" \t")
    known = known_name(name)
    if known is None:
        if not is_token(name):
            return None
        known = name_of(name)
    if not is_value(value):
        return None
    read = Field(name, value, known)
    read.exact = read.line == line
    if read.kind not in NOT_REMEMBERED:
        remember(_remembered, line, read)
    return read


def read_lines(lines: list[bytes]) -> Fields | None:
    """
    Read the lines of a head.

    @return: L{None} if one of them is not plainly a header.
    """
    read = []
    for line in lines:
        known = _remembered.get(line) or read_line(line)
        if known is None:
            return None
        read.append(known)
    return read
