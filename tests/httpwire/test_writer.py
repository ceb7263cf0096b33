"""Tests of L{appproxy.httpwire.writer}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Pair, field, fields
from appproxy.httpwire.heads import END, NO_BODY, UNTIL_END, RequestHead, ResponseHead
from appproxy.httpwire.request_parser import RequestParser
from appproxy.httpwire.response_parser import ResponseParser
from appproxy.httpwire.writer import Framer, content_length, join_lines, request_line, write_response
from tests.httpwire.test_field import BAD_PAIRS

names = st.text("abcXYZ", min_size=1, max_size=8).map(lambda text: b"x-" + text.encode())
values = st.text("".join(map(chr, range(33, 127))), max_size=20).map(str.encode)


class WriteTests(SynchronousTestCase):
    """Heads."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(names, values), max_size=8))
    def test_request_round_trip(self, headers: list[Pair]) -> None:
        """What is written, the request parser reads."""
        headers = [(b"Host", b"a"), *headers]
        lines = [request_line(b"REPORT", b"/x?y"), *(each.line for each in fields(headers))]
        events = RequestParser().feed(join_lines(lines))
        head = events[0]
        assert isinstance(head, RequestHead)
        self.assertEqual((head.method, head.target, head.headers), (b"REPORT", b"/x?y", headers))
        self.assertEqual(events[1:], [END])

    @settings(max_examples=100, deadline=None)
    @given(st.integers(200, 599), st.lists(st.tuples(names, values), max_size=8))
    def test_response_round_trip(self, status: int, headers: list[Pair]) -> None:
        """What is written, the response parser reads."""
        head = ResponseParser(b"HEAD").feed(write_response(status, None, blocks_of(fields(headers))))[0]
        assert isinstance(head, ResponseHead)
        self.assertEqual((head.status, head.headers), (status, headers))

    def test_status_lines(self) -> None:
        """The usual phrase, a given one, or none for a status that has none."""
        for status, reason, line in (
            (200, None, b"HTTP/1.1 200 OK\r\n\r\n"),
            (103, None, b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            (200, b"Fine", b"HTTP/1.1 200 Fine\r\n\r\n"),
            (200, b"", b"HTTP/1.1 200 \r\n\r\n"),
            (299, None, b"HTTP/1.1 299 \r\n\r\n"),
        ):
            self.assertEqual(write_response(status, reason, []), line)

    def test_refused(self) -> None:
        """Nothing leaves that could be read as more than one head."""
        for pair in BAD_PAIRS:
            self.assertRaises(BadMessage, field, *pair)
        for method, target in ((b"GET", b"/ x"), (b"GET", b"/\r\nX: y"), (b"GE\rT", b"/"), (b"", b"/")):
            self.assertRaises(BadMessage, request_line, method, target)
        for status, reason in (
            (200, b"a\r\nX: y"),
            (200, b"a\0"),
            (200, b"a\x7f"),
            (299, b"\n"),
            (99, None),
            (1000, b"x"),
        ):
            self.assertRaises(BadMessage, write_response, status, reason, [])


class FramerTests(SynchronousTestCase):
    """Bodies."""

    def test_length(self) -> None:
        """A counted body is written as it is."""
        framer = Framer(3)
        self.assertEqual(framer.headers, [(b"Content-Length", b"3")])
        self.assertEqual(framer.headers, [content_length(3)])
        self.assertEqual(framer.data(b"ab") + framer.data(b"") + framer.data(b"c") + framer.end(), b"abc")
        self.assertFalse(framer.closes)

    def test_length_is_kept(self) -> None:
        """A body longer or shorter than announced is an error, never a byte on the wire."""
        for body in (3, 0, NO_BODY):
            error = self.assertRaises(BadMessage, Framer(body).data, b"abcd")
            self.assertEqual(error.rule, "body_too_long")
        framer = Framer(3)
        framer.data(b"ab")
        self.assertEqual(self.assertRaises(BadMessage, framer.end).rule, "body_too_short")

    def test_chunked(self) -> None:
        """A body of unknown length is chunked; an empty piece does not end it."""
        framer = Framer(UNTIL_END)
        self.assertEqual(framer.headers, [(b"Transfer-Encoding", b"chunked")])
        self.assertEqual(framer.data(b"x" * 17), b"11\r\n" + b"x" * 17 + b"\r\n")
        self.assertEqual(framer.data(b""), b"")
        self.assertEqual(framer.end(), b"0\r\n\r\n")

    def test_trailers(self) -> None:
        """Only a chunked body carries trailers."""
        trailers = [field(b"X-Sum", b"1")]
        self.assertEqual(Framer(UNTIL_END).end(trailers), b"0\r\nX-Sum: 1\r\n\r\n")
        self.assertEqual(Framer(0).end(trailers), b"")

    def test_http_1_0(self) -> None:
        """For HTTP/1.0 an unknown length means the connection's end."""
        framer = Framer(UNTIL_END, (1, 0))
        self.assertEqual(framer.headers, [(b"Connection", b"close")])
        self.assertTrue(framer.closes)
        self.assertEqual(framer.data(b"abc") + framer.end([field(b"X", b"y")]), b"abc")

    def test_no_body(self) -> None:
        """Without a body there is no framing."""
        framer = Framer(NO_BODY)
        self.assertEqual((framer.headers, framer.data(b""), framer.end()), ([], b"", b""))
