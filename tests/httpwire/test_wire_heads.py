"""Tests of L{appproxy.httpwire.wire_heads}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import NO_BODY, UNTIL_END, Headers
from appproxy.httpwire.wire_heads import (
    pack_request,
    pack_response,
    pack_trailers,
    unpack_request,
    unpack_response,
    unpack_trailers,
)

tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=20).map(lambda value: value.translate(None, b"\r\n\0"))
headers_of_any_kind = st.lists(st.tuples(tokens, values), max_size=8)
BAD_HEADERS: list[Headers] = [
    [(b"X", b"a\nY: b")],
    [(b"X", b"a\rb")],
    [(b"X", b"a\0b")],
    [(b"X\nY", b"a")],
    [(b"X: Y", b"a")],
    [(b"X ", b"a")],
    [(b"", b"a")],
    [(b"X\xe4", b"a")],
    [(b"X(", b"a")],
    [(b"A", b"b"), (b"X:", b"a")],
    [(b"A", b"b\n"), (b"X", b"a")],
    [(b"A" * 100 + b":", b"b")],
]


class RoundTripTests(SynchronousTestCase):
    """What is packed is what is unpacked."""

    @settings(max_examples=100, deadline=None)
    @given(tokens, st.text(alphabet="/abc?%=&", min_size=1).map(str.encode), headers_of_any_kind)
    def test_request(self, method: bytes, target: bytes, headers: Headers) -> None:
        """A request's head crosses the tunnel unchanged."""
        self.assertEqual(unpack_request(pack_request(method, target, headers)), (method, target, headers))

    @settings(max_examples=100, deadline=None)
    @given(st.integers(100, 599), st.integers(-2, 10**15 - 1), headers_of_any_kind)
    def test_response(self, status: int, body: int, headers: Headers) -> None:
        """A response's head crosses the tunnel unchanged."""
        self.assertEqual(unpack_response(pack_response(status, body, headers)), (status, body, headers))

    @settings(max_examples=100, deadline=None)
    @given(headers_of_any_kind)
    def test_trailers(self, trailers: Headers) -> None:
        """Trailers cross the tunnel unchanged, also none and empty values."""
        self.assertEqual(unpack_trailers(pack_trailers(trailers)), trailers)


class RefusalTests(SynchronousTestCase):
    """What could be read in two ways."""

    def test_packing_refuses(self) -> None:
        """CR, LF, NUL and names that are no tokens cannot be packed."""
        for headers in BAD_HEADERS:
            self.assertRaises(BadMessage, pack_request, b"GET", b"/", headers)
            self.assertRaises(BadMessage, pack_response, 200, 0, headers)
            self.assertRaises(BadMessage, pack_trailers, headers)

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
        for data in (
            b"",
            b"GET",
            b"GET /\n",
            b"GET /\nX",
            b"GET /\nX\na\n",
            b"GET /\nX\na\nY",
            b"GET /\nX:\na",
            b"GET /\n\na",
            b"GET / HTTP/1.1\nX\na",
            b"GET /\r\nX\na",
            b"GET /\nX\na\rb",
            b"GET /\nX\na\0",
            b" /\nX\na",
        ):
            self.assertRaises(BadMessage, unpack_request, data)
        for data in (
            b"",
            b"200",
            b"200 -3",
            b"200 01",
            b"200 +1",
            b"099 0",
            b"600 0",
            b"200 0 OK",
            b"200 0\nX",
        ):
            self.assertRaises(BadMessage, unpack_response, data)
        self.assertRaises(BadMessage, unpack_trailers, b"X")

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from([b"GET", b" ", b"/", b"\n", b"\r", b"X", b":", b"\0", b"200", b"-1"])))
    def test_whatever_unpacks_packs_to_the_same(self, parts: list[bytes]) -> None:
        """There is one way to write a head: what can be read is written back alike."""
        data = b"".join(parts)
        try:
            request = unpack_request(data)
        except BadMessage:
            return
        self.assertEqual(pack_request(*request), data)

    def test_lengths(self) -> None:
        """The special lengths have their own spelling."""
        self.assertEqual(pack_response(204, NO_BODY, []), b"204 -2")
        self.assertEqual(pack_response(200, UNTIL_END, [(b"A", b"b")]), b"200 -1\nA\nb")
