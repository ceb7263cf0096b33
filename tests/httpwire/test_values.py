"""Tests of L{appproxy.httpwire.values}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.values import (
    CONTENT_LENGTH,
    KINDS,
    chunked_length,
    connection_tokens,
    content_length,
    parse_host,
)
from appproxy.httpwire.heads import UNTIL_END


class HostTests(SynchronousTestCase):
    """The reading of hosts."""

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="aB1.-_:[]@/%ä ,", max_size=12))
    def test_one_reading(self, text: str) -> None:
        """A host that is accepted is lower-case and reads as itself again."""
        try:
            host, port = parse_host(text.encode())
        except BadMessage as error:
            self.assertEqual(error.rule, "host")
            return
        again = host if port is None else b"%b:%d" % (host, port)
        self.assertEqual(parse_host(again), (host, port))
        self.assertEqual(host, host.lower())
        self.assertNotIn(b"..", host)

    def test_refusals_are_repeated(self) -> None:
        """A host that was refused once is refused again, a long one at once."""
        for value in (b"a b", b"a b", b"a" * 301, b"a" * 254):
            self.assertRaises(BadMessage, parse_host, value)


class FramingTests(SynchronousTestCase):
    """What heads say of framing."""

    def test_length(self) -> None:
        """A length is digits without leading zeros, at most fifteen."""
        self.assertEqual(content_length(b"999999999999999", 400), 999999999999999)
        for value in (b"", b"00", b"01", b"+1", b"1,1", b"1" * 16, b"1 ", "\u0661".encode()):
            error = self.assertRaises(BadMessage, content_length, value, 502)
            self.assertEqual((error.status, error.rule), (502, "content_length"))

    def test_chunked(self) -> None:
        """The only coding is chunked, in every case, and only in HTTP/1.1."""
        self.assertEqual(chunked_length(b"Chunked", 1, 400), UNTIL_END)
        for value, minor in (
            (b"chunked", 0),
            (b"gzip", 1),
            (b"gzip, chunked", 1),
            (b"", 1),
            (b"chunked ", 1),
        ):
            error = self.assertRaises(BadMessage, chunked_length, value, minor, 502)
            self.assertEqual((error.status, error.rule), (502, "transfer_encoding"))

    def test_kinds(self) -> None:
        """Fields are known in every case, and in no other spelling."""
        self.assertEqual(KINDS[b"CONTENT-length"], CONTENT_LENGTH)
        self.assertEqual(KINDS[b"Content_Length"], 0)

    def test_connection_tokens(self) -> None:
        """Tokens are lower-case, without blanks and empty ones, also of values too long for the memo."""
        self.assertEqual(connection_tokens(b" Close ,,\tX-A"), frozenset({b"close", b"x-a"}))
        self.assertEqual(len(connection_tokens(b",".join(b"%d" % n for n in range(500)))), 500)
