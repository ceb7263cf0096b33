"""
Header lines that stand together in heads, read once for all of them.

A browser repeats most of a head word for word, in the same order, and so does a server
that sends the same file again; what differs each time (Cookie, Referer, Date) stands on
lines of its own. So what lies between those is remembered as a whole: one look-up instead
of a dozen, and what passes of it to the other side is known from the first time.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from mypy_extensions import mypyc_attr

from appproxy.httpwire.field import NOT_REMEMBERED, Field, Fields, is_value, read_lines
from appproxy.httpwire.names import FRAMES_FROM, name_of

MEMO_BLOCKS: Final = 2048
"""Blocks that are remembered; a peer that invents more only makes the memo start anew."""

MEMO_BLOCK_SIZE: Final = 1024
"""Longer blocks are read line by line each time, so that a memo stays within some 15 MiB."""

MEMO_SIGHTS: Final = 8192
"""Texts that came once, by their hash: what comes but once is not worth keeping."""


@mypyc_attr(acyclic=True, free_list_len=1)
class Block:
    """
    Some headers of a head, in their order; never changed.

    @ivar fields: those.
    @ivar marked: those of them whose names somebody looks at (their kind is not 0).
    @ivar frames: whether one of them decides where a message ends, or what follows it.
    @ivar exact: whether all of them were read from just the lines that they are written as.
    @ivar passed_on: what L{appproxy.httpwire.rules} found of it, kept here for the next time.
    @ivar answered: likewise.
    @ivar fits: names that only a sign-on may send, and beside which L{appproxy.connector.request_head}
        found that all of it passes as it is.
    """

    __slots__ = ("_text", "_wire", "answered", "exact", "fields", "fits", "frames", "marked", "passed_on")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.marked: Fields = []
        self.frames = False
        self.exact = True
        for each in fields:
            if each.kind:
                self.marked.append(each)
                if each.kind >= FRAMES_FROM:
                    self.frames = True
            if not each.exact:
                self.exact = False
        self._text: bytes | None = None
        self._wire: bytes | None = None
        self.passed_on: PassedOn | None = None
        self.answered: Answered | None = None
        self.fits: frozenset[bytes] | None = None

    @property
    def text(self) -> bytes:
        """The lines, apart by a line feed: as a tunnel carries them."""
        text = self._text
        if text is None:
            text = self._text = _joined(b"\n", self.fields)
        return text

    @property
    def wire(self) -> bytes:
        """The lines, apart by the line ends of HTTP/1.1."""
        wire = self._wire
        if wire is None:
            wire = self._wire = _joined(b"\r\n", self.fields)
        return wire

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return repr(self.fields)


class Part:
    """
    What of a block passes to the other side.

    @ivar whole: whether all of it does. That the block itself is not in here keeps it free of circles.
    @ivar block: else what does; L{None} if nothing does.
    """

    __slots__ = ("block", "whole")

    def __init__(self, of: Block, kept: Fields) -> None:
        self.whole = len(kept) == len(of.fields)
        self.block = Block(kept) if kept and not self.whole else None


class PassedOn(Part):
    """
    What of a request's block may reach an application.

    @ivar identity: the plain names that only the proxy may set there.
    """

    __slots__ = ("identity",)

    def __init__(self, of: Block, kept: Fields, identity: frozenset[bytes]) -> None:
        Part.__init__(self, of, kept)
        self.identity = identity


class Answered(Part):
    """
    What of an answer's block may reach a client, but for cookies and length.

    @ivar named: the lower-case tokens of Connection in it.
    @ivar sets_cookie: whether it sets cookies, which are looked at one by one.
    @ivar tells_length: whether there is a Content-Length in it, which passes only sometimes.
    """

    __slots__ = ("named", "sets_cookie", "tells_length")

    def __init__(
        self, of: Block, kept: Fields, named: frozenset[bytes], sets_cookie: bool, tells_length: bool
    ) -> None:
        Part.__init__(self, of, kept)
        self.named = named
        self.sets_cookie = sets_cookie
        self.tells_length = tells_length


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
        if each.marked:
            marked += each.marked
    return marked


def count_of(blocks: Blocks) -> int:
    """How many headers they have."""
    count = 0
    for each in blocks:
        count += len(each.fields)
    return count


def blocks_of(fields: Fields) -> Blocks:
    """These headers as blocks: one, or none if there are none."""
    return [Block(fields)] if fields else []


def _joined(line_end: bytes, fields: Fields) -> bytes:
    lines = []
    for each in fields:
        lines.append(each.line)
    return line_end.join(lines)


class BlockReader:
    """
    Reads the headers of heads, and remembers blocks that came twice and hold no secret.
    """

    def __init__(self, line_end: bytes, apart: bytes, *, at_end: bool = False, secret: bytes = b"") -> None:
        """
        @param line_end: what stands between two lines.
        @param apart: the name of a header that differs each time, and is read by itself.
        @param at_end: whether that mostly stands nearer to the end of the head.
        @param secret: the name of another one, mostly the last, which is not remembered.
        """
        self._line_end = line_end
        self._first_byte, self._rest = line_end[:1], line_end[1:]
        self._step = len(line_end)
        self._at_end = at_end
        self._name = apart + b":"
        self._apart = line_end + apart + b":"
        self._secret_as_spelt, self._secret_name = secret, name_of(secret or apart)
        self._secret = line_end + secret + b":" if secret else b""
        self._last = self._rest + secret + b":"
        self._blocks: dict[bytes, Block] = {}
        self._sights: set[int] = set()
        # The last remembered one of each part of a head.
        self._recent_texts: list[bytes | None] = [None, None, None]
        self._recent: list[Block] = [Block([]), Block([]), Block([])]

    def read(self, text: bytes) -> Blocks | None:
        """
        Read a head's headers.

        @param text: their lines, each with a line end before it.
        @return: L{None} if one of them is not plainly a header.
        """
        blocks: Blocks = []
        read = self._read_with_secret(blocks, text) if self._secret else self._read_around(blocks, text)
        return blocks if read else None

    def _read_with_secret(self, blocks: Blocks, text: bytes) -> bool:
        # Methods that look for one byte, and give no number, cost least.
        before, _, last = text.rpartition(self._first_byte)
        if last.startswith(self._last):
            return self._read_around(blocks, before) and self._read_secret(blocks, last[len(self._last) :])
        before, found, after = text.rpartition(self._secret)
        if not found:
            return self._read_around(blocks, text)
        value, found, after = after.partition(self._line_end)
        return (
            self._read_around(blocks, before)
            and self._read_secret(blocks, value)
            and self._read_around(blocks, found + after)
        )

    def _read_around(self, blocks: Blocks, text: bytes) -> bool:
        """Read lines, one of which stands by itself; says whether they are plainly headers."""
        if not text:
            return True
        before, found, after = text.rpartition(self._apart) if self._at_end else text.partition(self._apart)
        if not found:
            return self._read_into(blocks, text[self._step :], 0)
        if before and not self._read_into(blocks, before[self._step :], 0):
            return False
        value, found, after = after.partition(self._line_end)
        return self._read_into(blocks, self._name + value, 1) and (
            not found or self._read_into(blocks, after, 2)
        )

    def _read_secret(self, blocks: Blocks, value: bytes) -> bool:
        stripped = value.strip(b" \t")
        if not is_value(stripped):
            return False
        field = Field(self._secret_as_spelt, stripped, self._secret_name)
        field.exact = len(value) == len(stripped) + 1 and value.startswith(b" ")
        blocks.append(Block([field]))
        return True

    def _read_into(self, blocks: Blocks, text: bytes, seat: int) -> bool:
        """
        Read some lines; says whether they are plainly headers.

        @param seat: which part of the head they are.
        """
        if text == self._recent_texts[seat]:
            # To compare costs a tenth of a look-up.
            blocks.append(self._recent[seat])
            return True
        block = self._blocks.get(text)
        if block is not None:
            self._recent_texts[seat], self._recent[seat] = text, block
        else:
            block = self._read(text)
            if block is None:
                return False
        blocks.append(block)
        return True

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
