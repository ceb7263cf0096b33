"""
Header lines that stand together in request heads, read once for all of them.

A browser repeats most of a head word for word, in the same order, and what differs
from one request to the next (Cookie, Referer) stands on lines of its own. So what
lies between those is remembered as a whole: one look-up instead of a dozen, and what
passes of it on to an application is known from the first time.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from appproxy.httpwire.field import NOT_REMEMBERED, Fields, read_lines
from appproxy.httpwire.names import FRAMES_FROM

MEMO_BLOCKS: Final = 2048
"""Blocks that are remembered; a peer that invents more only makes the memo start anew."""

MEMO_BLOCK_SIZE: Final = 1024
"""Longer blocks are read line by line each time, so that a memo stays within some 15 MiB."""

MEMO_SIGHTS: Final = 8192
"""Texts that came once, by their hash: what comes but once is not worth keeping."""


class Block:
    """
    Some headers of a request, in their order; never changed.

    @ivar fields: those.
    @ivar marked: those of them whose names somebody looks at (their kind is not 0).
    @ivar frames: whether one of them decides where a message ends, or what follows it.
    """

    __slots__ = ("_identity", "_passing", "_text", "fields", "frames", "marked")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.marked: Fields = []
        self.frames = False
        for each in fields:
            if each.kind:
                self.marked.append(each)
                if each.kind >= FRAMES_FROM:
                    self.frames = True
        self._text: bytes | None = None
        self._identity: frozenset[bytes] | None = None
        self._passing: Block | None = None

    @property
    def text(self) -> bytes:
        """The lines, apart by a line feed: as a tunnel carries them."""
        text = self._text
        if text is None:
            lines = []
            for each in self.fields:
                lines.append(each.line)
            text = self._text = b"\n".join(lines)
        return text

    def passing(self, identity: frozenset[bytes]) -> Block | None:
        """
        What of it may reach an application.

        @param identity: plain names that only the proxy may set there.
        @return: L{None} if nothing may.
        """
        if self._identity is not identity and self._identity != identity:
            kept: Fields = []
            for each in self.fields:
                known = each.known
                if known.in_requests and known.plain not in identity:
                    kept.append(each)
            self._passing = Block(kept) if kept else None
            self._identity = identity
        return self._passing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return repr(self.fields)


Blocks: TypeAlias = list[Block]


def fields_of(blocks: Blocks) -> Fields:
    """The headers of several blocks, in their order."""
    fields: Fields = []
    for each in blocks:
        fields += each.fields
    return fields


def marked_of(blocks: Blocks) -> Fields:
    """Those headers of several blocks whose names somebody looks at."""
    marked: Fields = []
    for each in blocks:
        marked += each.marked
    return marked


def blocks_of(fields: Fields) -> Blocks:
    """These headers as blocks: one, or none if there are none."""
    return [Block(fields)] if fields else []


class BlockMemo:
    """
    Reads blocks, and remembers those that came twice and hold no secret.
    """

    def __init__(self, line_end: bytes) -> None:
        """
        @param line_end: what stands between two lines.
        """
        self._line_end = line_end
        self._blocks: dict[bytes, Block] = {}
        self._sights: set[int] = set()

    def read(self, text: bytes) -> Block | None:
        """
        Read some lines.

        @param text: one line or more, without the end of the last.
        @return: L{None} if one of them is not plainly a header.
        """
        return self._blocks.get(text) or self._read(text)

    def _read(self, text: bytes) -> Block | None:
        fields = read_lines(text.split(self._line_end))
        if fields is None:
            return None
        block = Block(fields)
        if len(text) <= MEMO_BLOCK_SIZE and not _has_secret(block) and self._came_before(text):
            if len(self._blocks) >= MEMO_BLOCKS:
                self._blocks.clear()
            self._blocks[text] = block
        return block

    def _came_before(self, text: bytes) -> bool:
        sight = hash(text)
        if sight in self._sights:
            return True
        if len(self._sights) >= MEMO_SIGHTS:
            self._sights.clear()
        self._sights.add(sight)
        return False


def _has_secret(block: Block) -> bool:
    for each in block.marked:  # noqa: SIM110 (a generator costs twice as much)
        if each.kind in NOT_REMEMBERED:
            return True
    return False
