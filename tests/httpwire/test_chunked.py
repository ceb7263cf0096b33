"""Tests of L{appproxy.httpwire.chunked}."""

from __future__ import annotations

from typing import Final

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.chunked import OVERHEAD_LIMIT, SIZE_LINE_LIMIT, ChunkedDecoder
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields, fields
from appproxy.httpwire.heads import UNTIL_END
from appproxy.httpwire.writer import Framer
from tests.httpwire.support import splits

HEAD: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZE_LINES: Final = st.builds(
    lambda size, parts, data: (size + b"".join(parts), data),
    st.sampled_from([b"1", b"01", b"2", b"a", b"0", b"", b"x"]),
    st.lists(
        st.sampled_from([b";", b"x", b"=", b'"', b"\\", b" ", b"\t", b"\xff", b"\r", b"\n"]), max_size=6
    ),
    st.sampled_from([b"a", b"ab", b"", b"0123456789", b"\r", b"\n", b"\r\n"]),
)
TRAILER_LINES: Final = st.lists(
    st.sampled_from([b"X", b":", b" ", b"\t", b"y", b"\xff", b"\r", b"\n", b"\x01", b"\r\n"]), max_size=6
).map(lambda parts: b"".join(parts) + b"\r\n")


class LlhttpBody:
    """What llhttp makes of a chunked body."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        """Called by httptools."""
        self.body += data

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self.complete = True


def by_llhttp(data: bytes) -> bytes | None:
    """The body, or nothing if llhttp refuses it or waits for more."""
    body = LlhttpBody()
    try:
        httptools.HttpRequestParser(body).feed_data(HEAD + data)
    except httptools.HttpParserError:
        return None
    return body.body if body.complete else None


def by_us(pieces: list[bytes]) -> tuple[bytes, bytes, Fields] | None:
    """Body, bytes behind it and trailers; nothing if it is refused or waits for more."""
    decoder = ChunkedDecoder(400)
    payload: list[bytes] = []
    rest: bytes | None = None
    try:
        for piece in pieces:
            if rest is not None:
                rest += piece
            else:
                rest = decoder.feed(piece, payload)
    except BadMessage:
        return None
    return None if rest is None else (b"".join(payload), rest, decoder.trailers)


class ChunkedDecoderTests(SynchronousTestCase):
    """The decoder, alone and beside llhttp."""

    def test_pieces_are_not_copied_together(self) -> None:
        """Each chunk is handed on as soon as it is there, in part as well."""
        decoder = ChunkedDecoder(400)
        payload: list[bytes] = []
        self.assertIsNone(decoder.feed(b"5\r\nab", payload))
        self.assertIsNone(decoder.feed(b"cde\r\n1\r\nf", payload))
        self.assertEqual(payload, [b"ab", b"cde", b"f"])
        self.assertEqual(decoder.feed(b"\r\n0\r\n\r\nrest", payload), b"rest")

    def test_status(self) -> None:
        """A flaw has the status that the decoder was made with."""
        error = self.assertRaises(BadMessage, ChunkedDecoder(502).feed, b"x\r\n", [])
        self.assertEqual(error.status, 502)

    def test_small_chunks_are_no_attack(self) -> None:
        """A body in chunks of one byte passes, however long."""
        decoder = ChunkedDecoder(400)
        payload: list[bytes] = []
        for _ in range(20):
            decoder.feed(b"1\r\nx\r\n" * 1000, payload)
        self.assertEqual(len(payload), 20000)

    def test_signed_chunks_are_no_attack(self) -> None:
        """Chunks of 64 KiB, each with a signature of 90 bytes, pass."""
        decoder = ChunkedDecoder(400)
        for _ in range(50):
            decoder.feed(b"10000;chunk-signature=" + b"a" * 64 + b"\r\n" + b"x" * 65536 + b"\r\n", [])

    def test_talk_without_payload_is_bounded(self) -> None:
        """Extensions without payload to show for them end at the limit."""
        chunk = b"1;" + b"x" * (SIZE_LINE_LIMIT - 10) + b"\r\nx\r\n"
        decoder = ChunkedDecoder(400)
        for _ in range(OVERHEAD_LIMIT // len(chunk)):
            decoder.feed(chunk, [])
        error = self.assertRaises(BadMessage, decoder.feed, chunk * 2, [])
        self.assertEqual(error.rule, "chunk_overhead")

    def test_unfinished_size_line_is_bounded(self) -> None:
        """A size line that never ends is refused."""
        decoder = ChunkedDecoder(400)
        decoder.feed(b"3;" + b"x" * (SIZE_LINE_LIMIT - 3), [])
        self.assertRaises(BadMessage, decoder.feed, b"x", [])

    def test_hopeless_size_is_refused_early(self) -> None:
        """What can never become a size is refused before the line ends."""
        for data in (b"x", b"-", b" ", b"3 ", b"\n", b"3\n", b"12345678901234"):
            self.assertRaises(BadMessage, ChunkedDecoder(400).feed, data, [])

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
    def test_round_trip_in_any_split(self, chunks: list[bytes], data: st.DataObject) -> None:
        """What our framer writes, the decoder reads, in any split, and it finds the end."""
        framer = Framer(UNTIL_END)
        trailers = fields([(b"X-Sum", b"1 2")] if data.draw(st.booleans()) else [])
        wire = b"".join(map(framer.data, chunks)) + framer.end(trailers) + b"GET"
        self.assertEqual(by_us(data.draw(splits(wire))), (b"".join(chunks), b"GET", trailers))

    @settings(max_examples=200, deadline=None)
    @given(st.lists(SIZE_LINES, max_size=3), st.lists(TRAILER_LINES, max_size=2))
    @example([(b"0;", b"")], [])
    @example([(b"1;;x", b"a")], [])
    @example([(b'1;x="', b"a")], [])
    @example([(b"1;x=", b"a")], [])
    def test_never_laxer_than_llhttp(self, chunks: list[tuple[bytes, bytes]], trailers: list[bytes]) -> None:
        """Every body that we accept, llhttp accepts as well, and reads the same."""
        lines = [line + b"\r\n" + data + b"\r\n" for line, data in chunks]
        data = b"".join([*lines, b"0\r\n", *trailers, b"\r\n"])
        ours = by_us([data])
        if ours is not None:
            consumed = data[: len(data) - len(ours[1])]
            self.assertEqual(by_llhttp(consumed), ours[0])

    def test_extensions_pass(self) -> None:
        """Sound extensions are read over: names, tokens, quoted strings."""
        for extension in (b";x", b";x=y", b';x="a;\\"\xe4 b"', b";x;y=z", b";chunk-signature=0a1b"):
            self.assertEqual(by_us([b"1" + extension + b"\r\na\r\n0\r\n\r\n"]), (b"a", b"", []))
