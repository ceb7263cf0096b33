"""Tests of L{appproxy.httpwire.block}."""

from __future__ import annotations

import itertools
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import (
    MEMO_BLOCK_SIZE,
    MEMO_BLOCKS,
    MEMO_SIGHTS,
    Block,
    BlockReader,
    Part,
    blocks_of,
    fields_of,
    marked_of,
)
from appproxy.httpwire.field import Fields, fields, read_lines
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import RequestParser

LINES: Final = (
    b"Host: a",
    b"Accept: */*",
    b"Referer: https://a/x",
    b"Referer:y",
    b"Referer: a\rb",
    b"referer: z",
    b"Cookie: a=b; c=d",
    b"Cookie:\t a=b \t",
    b"Cookie: a\x01",
    b"cookie: e=f",
    b"Date: Mon, 01 Jan 2024 00:00:00 GMT",
    b"X-Cookie: Cookie: Referer: Date: x",
    b"Cookie",
    b"Referer",
    b":",
    b"",
    b" Cookie: folded",
    b"\rCookie: x",
    b"\nCookie: x",
    b"x\r",
    b"Authorization: Basic eA==",
    b"Content-Length: 3",
)
"""What heads are made of here, good and bad."""


def requests(line_end: bytes) -> BlockReader:
    """A reader as requests have it."""
    return BlockReader(line_end, b"Referer", at_end=True, secret=b"Cookie")


class ReadTests(SynchronousTestCase):
    """Reading in blocks is reading line by line."""

    def check(self, reader: BlockReader, line_end: bytes, lines: list[bytes]) -> None:
        """These lines mean what they mean one by one, however often they come."""
        text = b"".join(line_end + line for line in lines)
        expected = read_lines(text[len(line_end) :].split(line_end)) if lines else []
        for _ in range(3):
            blocks = reader.read(text)
            if expected is None:
                self.assertIsNone(blocks, text)
            else:
                assert blocks is not None, text
                self.assertEqual(fields_of(blocks), expected)
                self.assertEqual(
                    [each.exact for each in fields_of(blocks)], [each.exact for each in expected]
                )

    @settings(max_examples=400, deadline=None)
    @given(st.lists(st.sampled_from(LINES), max_size=7), st.sampled_from([b"\r\n", b"\n"]))
    def test_any_lines(self, lines: list[bytes], line_end: bytes) -> None:
        """Whatever the lines are, in every order, with any of those that stand by themselves."""
        self.check(requests(line_end), line_end, lines)
        self.check(BlockReader(line_end, b"Date"), line_end, lines)

    def test_short_ones(self) -> None:
        """All heads of up to three of these lines."""
        reader = requests(b"\r\n")
        for count in range(4):
            for lines in itertools.product(LINES[2:16], repeat=count):
                self.check(reader, b"\r\n", list(lines))

    def test_two_heads_are_not_one(self) -> None:
        """An empty line ends a head, also where a line that is read by itself comes next."""
        for line in (b"Cookie: a=b", b"Referer: x", b"Host: b", b"GET / HTTP/1.1"):
            for before in ((b"Via: a",), (), (b"Via: a", b"Cookie: c=d"), (b"Cookie: c", b"Referer: y")):
                text = b"".join(b"\r\n" + each for each in (*before, b"", line))
                self.assertIsNone(requests(b"\r\n").read(text), text)
                data = b"GET / HTTP/1.1\r\nHost: h" + text + b"\r\n\r\n"
                head = RequestParser().feed(data)[0]
                assert isinstance(head, RequestHead)
                self.assertEqual([each.pair for each in head.headers[1:]], [_pair(each) for each in before])


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b": ")
    return name, value


class MemoTests(SynchronousTestCase):
    """What is remembered."""

    def remembered(self, reader: BlockReader) -> list[bytes]:
        """The texts whose blocks are kept."""
        return list(reader._blocks)

    def test_second_time(self) -> None:
        """What came once is not kept; from the third time on the same block comes back."""
        reader = requests(b"\n")
        self.assertIsNotNone(reader.read(b"\nA: b"))
        self.assertEqual(self.remembered(reader), [])
        second, third = reader.read(b"\nA: b"), reader.read(b"\nA: b")
        assert second is not None and third is not None
        self.assertIs(second[0], third[0])
        self.assertEqual(self.remembered(reader), [b"A: b"])

    def test_no_secrets(self) -> None:
        """Cookies and authorisations, wherever they stand, are not kept."""
        reader = requests(b"\n")
        for _ in range(3):
            for text in (
                b"\nA: b\nCookie: s",
                b"\nCookie: s\nA: b",
                b"\nCookie: s\nA: b\nCookie: s",
                b"\nAuthorization: s\nA: c",
                b"\ncookie: s\nReferer: r\nset-cookie: s\nCookie: s",
            ):
                self.assertIsNotNone(reader.read(text))
        for text in self.remembered(reader):
            self.assertNotIn(b": s", text)
        self.assertEqual(self.remembered(reader), [b"A: b", b"Referer: r"])
        self.assertLessEqual({each for each in reader._recent_texts if each}, {b"A: b", b"Referer: r"})

    def test_bounds(self) -> None:
        """Invented headers never fill more than the memo's room, and long ones none."""
        reader = requests(b"\n")
        for number in range(2 * MEMO_BLOCKS + 10):
            for _ in range(2):
                self.assertIsNotNone(reader.read(b"\nX-%d: y" % number))
            self.assertLessEqual(len(reader._blocks), MEMO_BLOCKS)
            self.assertLessEqual(len(reader._sights), MEMO_SIGHTS)
        long = requests(b"\n")
        for _ in range(3):
            self.assertIsNotNone(long.read(b"\nX: " + b"y" * MEMO_BLOCK_SIZE))
        self.assertEqual(self.remembered(long), [])


class BlockTests(SynchronousTestCase):
    """L{Block}."""

    def headers(self) -> Fields:
        """Some."""
        return fields([(b"Host", b"a"), (b"Accept", b"b"), (b"Content-Length", b"1")])

    def test_forms(self) -> None:
        """A block is written as a tunnel or HTTP/1.1 carries it."""
        block = Block(self.headers())
        self.assertEqual(block.text, b"Host: a\nAccept: b\nContent-Length: 1")
        self.assertEqual(block.wire, b"Host: a\r\nAccept: b\r\nContent-Length: 1")

    def test_marked(self) -> None:
        """What somebody looks at is known, and whether anything decides framing."""
        block = Block(self.headers())
        self.assertEqual([each.name for each in marked_of([block, block])], [b"Host", b"Content-Length"] * 2)
        self.assertTrue(block.frames)
        self.assertFalse(Block(self.headers()[:2]).frames)

    def test_part(self) -> None:
        """All of a block, some of it, or nothing, never with a way back to the block itself."""
        block = Block(self.headers())
        for count, whole, expected in (
            (3, True, None),
            (1, False, Block(self.headers()[:1])),
            (0, False, None),
        ):
            part = Part(block, self.headers()[:count])
            self.assertEqual((part.whole, part.block), (whole, expected))

    def test_of_fields(self) -> None:
        """Headers become one block, and none become none."""
        self.assertEqual(blocks_of([]), [])
        self.assertEqual(fields_of(blocks_of(self.headers())), self.headers())
