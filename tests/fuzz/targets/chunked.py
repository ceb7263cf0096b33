"""Chunked bodies: L{appproxy.httpwire.chunked}, beside llhttp."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import httptools

from appproxy.httpwire.chunked import TRAILER_COUNT, ChunkedDecoder
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields
from appproxy.httpwire.heads import UNTIL_END
from appproxy.httpwire.writer import Framer
from tests.corpus.cases import REQUESTS
from tests.fuzz.support import HTTP_WORDS, hold, same, splits

_SEED_SIZE: Final = 2048
_HEAD: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

Reading = tuple[bytes, bytes | None, list[tuple[bytes, bytes]]]
"""Payload, what follows the body (L{None} if it goes on), trailers."""

WORDS: Final = HTTP_WORDS


def seeds() -> Iterable[bytes]:
    """The chunked bodies of the corpus, and good ones."""
    for case in REQUESTS:
        head, found, body = case.message().partition(_HEAD)
        if found and not head and len(body) <= _SEED_SIZE:
            yield body
    yield b'5;ext="v\\"";a;b=c\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX-Sum:  1 \r\nX-Empty:\r\n\r\nGET /'
    yield b"0\r\n\r\n"
    yield b"1\r\na\r\n" * 20 + b"0;x\r\n\r\n"


def target(data: bytes) -> None:
    """A body and what follows it, in whole and in pieces."""
    reading = read([data])
    for pieces in splits(data):
        same(read(pieces), reading, "another split, another body")
    if reading is None:
        return
    payload, rest, trailers = reading
    if rest is None:
        return
    hold(data.endswith(rest), "the rest is not the end of the bytes", rest)
    hold(len(trailers) <= TRAILER_COUNT, "too many trailers", trailers)
    check_written(payload, trailers)
    same(llhttp_reads(data[: len(data) - len(rest)]), payload, "llhttp reads another body")


def read(pieces: list[bytes]) -> Reading | None:
    """All of it; L{None} if it is refused."""
    decoder = ChunkedDecoder(400)
    payload: list[bytes] = []
    rest: bytes | None = None
    try:
        for piece in pieces:
            rest = decoder.feed(piece, payload) if rest is None else rest + piece
    except BadMessage as refusal:
        same(refusal.status, 400, "status")
        return None
    hold(b"" not in payload, "an empty piece")
    return b"".join(payload), rest, [each.pair for each in decoder.trailers]


def check_written(payload: bytes, trailers: list[tuple[bytes, bytes]]) -> None:
    """Framed anew it is the same body."""
    decoder = ChunkedDecoder(400)
    framer = Framer(UNTIL_END)
    pieces: list[bytes] = []
    fields: Fields = []
    if trailers:
        lines = b"0\r\n" + b"".join(b"%b: %b\r\n" % each for each in trailers) + b"\r\n"
        decoder.feed(lines, [])
        fields, decoder = decoder.trailers, ChunkedDecoder(400)
    rest = decoder.feed(framer.data(payload) + framer.end(fields), pieces)
    same((b"".join(pieces), rest), (payload, b""), "framed anew")
    same([each.pair for each in decoder.trailers], trailers, "trailers framed anew")


class _Body:
    """What llhttp calls back."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = 0

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete += 1


def llhttp_reads(data: bytes) -> bytes | str:
    """The body, or why there is none."""
    seen = _Body()
    try:
        httptools.HttpRequestParser(seen).feed_data(_HEAD + data)
    except httptools.HttpParserError as error:
        return str(error)
    return bytes(seen.body) if seen.complete == 1 else f"{seen.complete} messages"
