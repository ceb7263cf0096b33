"""Tests of L{appproxy.httpwire.field}, alone and beside llhttp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire import field as module
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import (
    MEMO_LINE_SIZE,
    MEMO_LINES,
    Field,
    Fields,
    Pair,
    field,
    fields,
    read_line,
    read_lines,
)
from appproxy.httpwire.heads import RequestHead, ResponseHead
from appproxy.httpwire.llhttp import judge_head
from appproxy.httpwire.names import name_of
from appproxy.httpwire.request_parser import RequestParser
from appproxy.httpwire.response_parser import ResponseParser
from tests.corpus.cases import ANSWERS
from tests.corpus.cases import REQUESTS as CORPUS

BAD_PAIRS: Final[list[Pair]] = [
    (b"X", b"a\nY: b"),
    (b"X", b"a\rb"),
    (b"X", b"a\r\nY: b"),
    (b"X", b"a\0b"),
    (b"X", b"a\x01b"),
    (b"X", b"a\x1bb"),
    (b"X", b"a\x7fb"),
    (b"X", b" a"),
    (b"X", b"a "),
    (b"X", b"\ta"),
    (b"X", b"a\t"),
    (b"X", b" "),
    (b"X", b"b\n"),
    (b"X\nY", b"a"),
    (b"X\n", b"a"),
    (b"X: Y", b"a"),
    (b"X:", b"a"),
    (b"X ", b"a"),
    (b" X", b"a"),
    (b"", b"a"),
    (b"X\xe4", b"a"),
    (b"X(", b"a"),
    (b"A" * 100 + b":", b"b"),
]
"""Names and values that may stand in no head."""

ODD: Final = (
    *(bytes([code]) for code in (*range(33), 34, 40, 41, 44, 47, 58, 59, 64, 91, 92, 93, 123, 125, 127)),
    *(bytes([code]) for code in (128, 133, 160, 173, 228, 254, 255)),
    *(b"", b"\r\n", b"\r\n ", b"\r\n\t", b"\n ", b"\r\n:", b"\r\n\r\n", b" :", b": ", b"::", b"\xc2\xa0"),
)
"""What damages a head."""

REQUESTS: Final = (
    b"GET /a/b?c=d HTTP/1.1\r\nHost: wiki.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\n"
    b"Accept: text/html,*/*;q=0.8\r\nCookie: a=b; c=d\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost:a\r\nX-Empty:\r\nX-Blank: \t \r\nx_Y:\t z \r\n\r\n",
    b"FOO-BAR /x HTTP/1.1\r\nHost: [::1]:8443\r\nAuthorization: Basic eA==\r\nConnection: close, X\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nOrigin: null\r\n\r\n",
    b"GET http://a/x HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\nConnection: Upgrade\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
)
RESPONSES: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/html\r\n"
    b"Set-Cookie: a=b; Path=/\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.0 404 \xe4h\r\nServer:x\r\nX-Empty:\r\nX-Blank: \t \r\n\r\n",
    b'HTTP/1.1 204\r\nETag: "a"\r\nConnection: close, X\r\n\r\n',
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\nProxy-Connection: close\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
    b"HTTP/1.1 426 Upgrade\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
)


def damaged(heads: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Heads in which a few places were replaced, doubled or cut."""
    places = st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from(ODD)), min_size=0, max_size=4
    )
    return st.builds(_damage, st.sampled_from(heads), places)


def _damage(head: bytes, places: list[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(head)
    for at, size, odd in places:
        start = at % (len(data) + 1)
        data[start : start + size] = odd
    return bytes(data)


def with_any_lines(start: bytes) -> st.SearchStrategy[bytes]:
    """Heads with lines of any bytes."""
    bits = st.one_of(
        st.binary(max_size=6), st.sampled_from([*ODD, b"X", b"Host", b"Connection", b"a", b"close"])
    )
    lines = st.lists(st.lists(bits, max_size=6).map(b"".join), max_size=4)
    return lines.map(lambda each: b"\r\n".join([start, *each, b"", b""]))


def request_head(data: bytes) -> RequestHead | None:
    """What our parser reads; nothing if it refuses or waits."""
    try:
        events = RequestParser().feed(data)
    except BadMessage:
        return None
    head = events[0] if events else None
    return head if isinstance(head, RequestHead) else None


def response_head(data: bytes, method: bytes = b"GET") -> ResponseHead | None:
    """What our parser reads; nothing if it refuses or waits."""
    try:
        events = ResponseParser(method).feed(data)
    except BadMessage:
        return None
    head = events[0] if events else None
    return head if isinstance(head, ResponseHead) else None


class FieldTests(SynchronousTestCase):
    """One header."""

    def test_reads_like_a_pair(self) -> None:
        """A header is its name and value: equal to the pair, and used and shown like it."""
        header = field(b"X-A", b"b c")
        name, value = header
        self.assertEqual((name, value), (b"X-A", b"b c"))
        self.assertEqual(header, (b"X-A", b"b c"))
        self.assertEqual([header], [(b"X-A", b"b c")])
        self.assertEqual(header, field(b"X-A", b"b c"))
        self.assertEqual(hash(header), hash((b"X-A", b"b c")))
        self.assertEqual(repr(header), repr((b"X-A", b"b c")))
        for other in (
            field(b"x-a", b"b c"),
            field(b"X-A", b"b"),
            (b"X-A", b""),
            (b"X-A",),
            b"X-A: b c",
            None,
        ):
            self.assertNotEqual(header, other)

    def test_line(self) -> None:
        """Its line has one blank behind the colon, in the name's own spelling, also for an empty value."""
        for line in (b"x-A:b", b"x-A: b", b"x-A:\t  b \t"):
            header = read_line(line)
            assert header is not None
            self.assertEqual((header.line, header), (b"x-A: b", (b"x-A", b"b")))
        self.assertEqual(field(b"X", b"").line, b"X: ")

    def test_known(self) -> None:
        """It carries what is known of its name."""
        header = field(b"COOKIE", b"a=b")
        self.assertEqual((header.known.lower, header.kind), (b"cookie", name_of(b"Cookie").kind))

    def test_refused(self) -> None:
        """
        Control characters, line ends, outer blanks and names that are no tokens make no header of ours.

        Security row 28.
        """
        for pair in BAD_PAIRS:
            self.assertRaises(BadMessage, field, *pair)
            self.assertRaises(BadMessage, fields, [(b"A", b"b"), pair])

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=12), st.binary(max_size=12))
    def test_every_header_reads_back(self, name: bytes, value: bytes) -> None:
        """Whatever can be made is one line, and read back as what it was."""
        for each in (name, b"X" + name.translate(None, b"\r\n\0: "), b"X"):
            try:
                header = field(each, value)
            except BadMessage:
                continue
            self.assertEqual(read_lines(header.line.split(b"\n")), [(each, value)])


class ReadTests(SynchronousTestCase):
    """Lines."""

    def test_not_plain(self) -> None:
        """One line among sound ones that is not plainly a header is told."""
        for line in (
            b"",
            b"X",
            b": a",
            b"X : a",
            b"X\t: a",
            b" X: a",
            b"\tX: a",
            b"X\r: a",
            b"X: a\r",
            b"X: \ra",
            b"X: a\nY: b",
            b"X: a\0",
            b"X: \x01",
            b"X: \x0b",
            b"X: \x7f",
            b"X\xe4: a",
            b"X(: a",
            b"X\0: a",
        ):
            for _ in range(2):
                self.assertIsNone(read_line(line), line)
                self.assertIsNone(read_lines([b"A: b", line, b"C: d"]), line)

    def test_plain(self) -> None:
        """Blanks, colons and high bytes inside of a value stay."""
        lines = [b"A: b : c", b"A:::", b"X: \xe4\t\xff", b"~!#: (x)", b"E:"]
        for _ in range(2):
            self.assertEqual(
                read_lines(lines),
                [(b"A", b"b : c"), (b"A", b"::"), (b"X", b"\xe4\t\xff"), (b"~!#", b"(x)"), (b"E", b"")],
            )
        self.assertEqual(read_lines([]), [])


class MemoTests(SynchronousTestCase):
    """What is remembered."""

    def setUp(self) -> None:
        """Begin with nothing."""
        module._remembered.clear()
        self.addCleanup(module._remembered.clear)

    def test_read_once(self) -> None:
        """A line that came before is not read again; a line that differs in a byte is."""
        first, second, third = (
            read_lines([line]) or [] for line in (b"Accept: */*", b"Accept: */*", b"Accept:  */*")
        )
        self.assertIs(first[0], second[0])
        self.assertIsNot(first[0], third[0])
        self.assertEqual(first, third)

    def test_bounded(self) -> None:
        """A peer that invents lines does not make the memo grow, nor changes what is read."""
        for number in range(2 * MEMO_LINES + 10):
            self.assertEqual(read_lines([b"X: %d" % number]), [(b"X", b"%d" % number)])
            self.assertLessEqual(len(module._remembered), MEMO_LINES)

    def test_long_lines(self) -> None:
        """Only short lines are remembered."""
        name = b"X: "
        for size, kept in ((MEMO_LINE_SIZE, True), (MEMO_LINE_SIZE + 1, False)):
            line = name + b"y" * (size - len(name))
            self.assertEqual(read_lines([line]), [(b"X", line[len(name) :])])
            self.assertEqual(line in module._remembered, kept)

    def test_secrets(self) -> None:
        """What lets somebody in is not remembered, in no case of its name."""
        for name in (b"Cookie", b"Set-Cookie", b"Authorization"):
            for spelt in (name, name.lower(), name.upper(), name.swapcase()):
                self.assertEqual(read_lines([spelt + b": secret"]), [(spelt, b"secret")])
        self.assertEqual(module._remembered, {})

    def test_refused_lines(self) -> None:
        """What is no header is not remembered, so that it is refused each time."""
        self.assertIsNone(read_lines([b"X : secret"]))
        self.assertEqual(module._remembered, {})

    def test_headers_of_ours(self) -> None:
        """What we make ourselves, with users' names in it, is not remembered."""
        field(b"X-Remote-User", b"ada")
        self.assertEqual(module._remembered, {})

    def test_the_same_with_and_without(self) -> None:
        """A head reads alike whether its lines came before or not."""
        for data in REQUESTS:
            module._remembered.clear()
            first = request_head(data)
            self.assertIsNotNone(first)
            self.assertEqual(request_head(data), first)


class BesideLlhttpTests(SynchronousTestCase):
    """llhttp has no say in heads of plain lines: it must not be missed."""

    def agree(self, make: Callable[[Any], Any], data: bytes, headers: Fields, status: int) -> None:
        """llhttp accepts the head as well, and reads the same."""
        head = data[: data.index(b"\r\n\r\n") + 4]
        try:
            judged = judge_head(make, head, status)
        except BadMessage as refusal:
            self.fail(f"only llhttp refuses {head!r}: {refusal.rule}")
        self.assertEqual(headers, judged, head)
        for each in headers:
            self.assertIsInstance(each, Field)
            self.assertEqual(field(each.name, each.value).line, each.line)

    def check_request(self, data: bytes) -> None:
        """A request that we accept, llhttp accepts."""
        head = request_head(data)
        if head is None:
            return
        # As a method that llhttp knows: it has a fixed list, we take every token.
        shown = data if head.method in (b"GET", b"OPTIONS") else b"POST" + data[len(head.method) :]
        self.agree(httptools.HttpRequestParser, shown, head.headers, 400)

    def check_response(self, data: bytes) -> None:
        """A response that we accept, llhttp accepts."""
        for method in (b"GET", b"HEAD"):
            head = response_head(data, method)
            if head is not None:
                self.agree(httptools.HttpResponseParser, data, head.headers, 502)

    def test_every_byte_everywhere(self) -> None:
        """A head with any byte put or changed anywhere that we accept, llhttp accepts, and reads the same."""
        for heads, check in ((REQUESTS[1:2], self.check_request), (RESPONSES[1:2], self.check_response)):
            for data in heads:
                self.assertIsNotNone(request_head(data) or response_head(data))
                for at in range(len(data)):
                    for code in range(256):
                        check(data[:at] + bytes([code]) + data[at + 1 :])
                        check(data[:at] + bytes([code]) + data[at:])

    @settings(max_examples=500, deadline=None)
    @given(damaged(REQUESTS))
    @example(REQUESTS[0])
    @example(REQUESTS[1])
    @example(REQUESTS[2])
    @example(REQUESTS[3])
    @example(REQUESTS[4])
    def test_damaged_requests(self, data: bytes) -> None:
        """A damaged request that we accept, llhttp accepts, and reads the same."""
        self.check_request(data)

    @settings(max_examples=500, deadline=None)
    @given(damaged(RESPONSES))
    @example(RESPONSES[0])
    @example(RESPONSES[1])
    @example(RESPONSES[2])
    @example(RESPONSES[3])
    @example(RESPONSES[4])
    def test_damaged_responses(self, data: bytes) -> None:
        """A damaged response that we accept, llhttp accepts, and reads the same."""
        self.check_response(data)

    @settings(max_examples=500, deadline=None)
    @given(with_any_lines(b"GET / HTTP/1.1\r\nHost: a"))
    def test_requests_of_any_lines(self, data: bytes) -> None:
        """Whatever bytes its lines are of: a request that we accept, llhttp accepts, and reads the same."""
        self.check_request(data)

    @settings(max_examples=500, deadline=None)
    @given(with_any_lines(b"HTTP/1.1 200 OK"))
    def test_responses_of_any_lines(self, data: bytes) -> None:
        """Whatever bytes its lines are of: a response that we accept, llhttp accepts, and reads the same."""
        self.check_response(data)

    @settings(max_examples=500, deadline=None)
    @given(st.lists(st.binary(max_size=10), max_size=3).map(b":".join))
    def test_lines(self, line: bytes) -> None:
        """A line is plain just when llhttp takes it; neither reads it otherwise."""
        head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"
        if b"\r\n" in line or not line:
            return
        read = read_line(line)
        try:
            judged = judge_head(httptools.HttpResponseParser, head, 502)
        except BadMessage:
            judged = None
        if read is None:
            self.assertIsNone(judged, line)
        elif not read.kind:
            self.assertEqual(judged, [read], line)

    def test_corpus(self) -> None:
        """What llhttp refuses of the corpus, our parsers refuse."""
        for case in CORPUS:
            self.check_request(case.message())
        for answer in ANSWERS:
            self.check_response(answer.data)

    def test_sound_heads(self) -> None:
        """The heads from which the damaged ones are made are accepted by both."""
        for data in REQUESTS:
            self.assertIsNotNone(request_head(data), data)
            self.check_request(data)
        for data in RESPONSES:
            self.assertIsNotNone(response_head(data), data)
            self.check_response(data)
