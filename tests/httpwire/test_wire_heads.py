"""Tests of L{appproxy.httpwire.wire_heads}."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import Block, blocks_of, fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Pair, field, fields
from appproxy.httpwire.heads import NO_BODY, UNTIL_END
from appproxy.httpwire.wire_heads import (
    pack_request,
    pack_response,
    pack_trailers,
    unpack_request,
    unpack_response,
    unpack_trailers,
)
from tests.corpus.cases import TUNNEL_ANSWERS, TUNNEL_REQUESTS

tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=20).map(
    lambda value: value.translate(None, bytes([*range(9), *range(10, 32), 127])).strip(b" \t")
)
headers_of_any_kind = st.lists(st.tuples(tokens, values), max_size=8)

BAD_LINES = (
    b"",
    b"X",
    b"X\na",
    b"X: a\n",
    b"X: a\n\nY: b",
    b"X: a\nY",
    b": a",
    b"X : a",
    b" X: a",
    b"X: a\n b",
    b"X: a\r",
    b"X: a\rb",
    b"X: a\0",
    b"X: a\x7f",
    b"X\xe4: a",
    b"X:a",
    b"X:",
    b"X:  a",
    b"X:\ta",
    b"X: a ",
    b"X: a\t",
)
"""Headers in a way in which nothing is packed."""


class RoundTripTests(SynchronousTestCase):
    """What is packed is what is unpacked."""

    @settings(max_examples=100, deadline=None)
    @given(tokens, st.text(alphabet="/abc?%=&", min_size=1).map(str.encode), headers_of_any_kind)
    def test_request(self, method: bytes, target: bytes, headers: list[Pair]) -> None:
        """A request's head crosses the tunnel unchanged."""
        packed = pack_request(method, target, blocks_of(fields(headers)))
        unpacked = unpack_request(packed)
        self.assertEqual((*unpacked[:2], fields_of(unpacked[2])), (method, target, headers))

    @settings(max_examples=100, deadline=None)
    @given(st.integers(100, 599), st.integers(-2, 10**15 - 1), headers_of_any_kind)
    def test_response(self, status: int, body: int, headers: list[Pair]) -> None:
        """A response's head crosses the tunnel unchanged."""
        unpacked = unpack_response(pack_response(status, body, blocks_of(fields(headers))))
        self.assertEqual((*unpacked[:2], fields_of(unpacked[2])), (status, body, headers))

    @settings(max_examples=100, deadline=None)
    @given(headers_of_any_kind)
    def test_trailers(self, trailers: list[Pair]) -> None:
        """Trailers cross the tunnel unchanged, also none and empty values."""
        self.assertEqual(unpack_trailers(pack_trailers(fields(trailers))), trailers)


class RefusalTests(SynchronousTestCase):
    """What could be read in two ways."""

    def test_bad_lines_are_not_packed(self) -> None:
        """Methods, targets and numbers are checked as well."""
        for method, target in (
            (b"", b"/"),
            (b"GE T", b"/"),
            (b"GET", b""),
            (b"GET", b"/ x"),
            (b"GET", b"/\n"),
            (b"GET", b"/\x80"),
            (b"GET\n", b"/"),
        ):
            self.assertRaises(BadMessage, pack_request, method, target, [])
        for status, body in ((99, 0), (600, 0), (200, -3), (200, 10**15)):
            self.assertRaises(BadMessage, pack_response, status, body, [])

    def test_unpacking_refuses(self) -> None:
        """A peer's head that we would not have packed is refused."""
        for line in (b"GET", b"GET / HTTP/1.1", b" /", b"GET /\r", b""):
            for header in (b"", b"\nX: a"):
                self.assertRaises(BadMessage, unpack_request, line + header)
        for line in (b"", b"200", b"200 -3", b"200 01", b"200 +1", b"099 0", b"600 0", b"200 0 OK"):
            self.assertRaises(BadMessage, unpack_response, line)
        for headers in BAD_LINES:
            self.assertRaises(BadMessage, unpack_request, b"GET /\n" + headers)
            self.assertRaises(BadMessage, unpack_response, b"200 0\n" + headers)
            if headers:
                self.assertRaises(BadMessage, unpack_trailers, headers)

    def test_corpus(self) -> None:
        """Of the corpus just those are read that are called readable."""
        for request in TUNNEL_REQUESTS:
            self.check(unpack_request, request.head, request.readable, request.name)
        for answer in TUNNEL_ANSWERS:
            self.check(unpack_response, answer.head, answer.readable, answer.name)

    def check(self, unpack: Callable[[bytes], object], head: bytes, readable: bool, name: str) -> None:
        """A head is read, or is none."""
        try:
            unpack(head)
        except BadMessage:
            self.assertFalse(readable, name)
        else:
            self.assertTrue(readable, name)

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from([b"GET", b"/", b"GET / ", b"GET /"]),
        st.lists(
            st.sampled_from([b" ", b"/", b"\n", b"\nX: ", b"\r", b"X", b":", b": ", b"\0", b"\t", b"-1"])
        ),
    )
    def test_whatever_unpacks_packs_to_the_same(self, start: bytes, parts: list[bytes]) -> None:
        """There is one way to write a head: what can be read is written back alike."""
        data = b"".join([start, *parts])
        try:
            request = unpack_request(data)
        except BadMessage:
            return
        method, target, headers = request
        self.assertEqual(pack_request(method, target, headers), data)

    def test_lengths(self) -> None:
        """The special lengths have their own spelling."""
        self.assertEqual(pack_response(204, NO_BODY, []), b"204 -2")
        self.assertEqual(pack_response(200, UNTIL_END, [Block([field(b"A", b"b")])]), b"200 -1\nA: b")
