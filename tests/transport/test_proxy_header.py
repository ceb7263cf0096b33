"""Tests of L{appproxy.transport.proxy_header}."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.proxy_header import (
    MAXIMUM_LINE,
    MAXIMUM_SIZE,
    NEED_MORE,
    NO_HEADER,
    ProxyHeader,
    Result,
    read,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command: int = 0x21, family: int = 0x11, body: bytes = b"", extra: bytes = b"") -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes((command, family)) + (len(body) + len(extra)).to_bytes(2, "big") + body + extra


def addresses(client: str, port: int = 51234) -> bytes:
    """A client's address, ours, and both ports, as version 2 has them."""
    kind = socket.AF_INET6 if ":" in client else socket.AF_INET
    ours = "2001:db8::1" if ":" in client else "192.0.2.1"
    return b"".join(socket.inet_pton(kind, each) for each in (client, ours)) + bytes(
        (*port.to_bytes(2, "big"), 1, 187)
    )


GOOD: tuple[tuple[bytes, str, int], ...] = (
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n", "203.0.113.9", 51234),
    (b"PROXY TCP6 2001:DB8::9 2001:db8::1 1 65535\r\n", "2001:db8::9", 1),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 0 443\r\n", "203.0.113.9", 0),
    (b"PROXY UNKNOWN\r\n", "", 0),
    (b"PROXY UNKNOWN ffff:f:f::1 whatever 0 99999999\r\n", "", 0),
    (binary(body=addresses("203.0.113.9")), "203.0.113.9", 51234),
    (binary(family=0x21, body=addresses("2001:db8::9")), "2001:db8::9", 51234),
    (binary(body=addresses("203.0.113.9"), extra=b"\x04\0\3abc" + b"\2\0\4host"), "203.0.113.9", 51234),
    (binary(command=0x20, family=0), "", 0),
    (binary(command=0x20, body=addresses("203.0.113.9")), "", 0),
    (binary(family=0x00, extra=b"\x04\0\0"), "", 0),
    (binary(family=0x31, body=bytes(216)), "", 0),
    (binary(family=0x12, body=addresses("203.0.113.9")), "", 0),
)

BAD: tuple[bytes, ...] = (
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"proxy TCP4 203.0.113.9 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 1\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2 3\r\n",
    b"PROXY TCP4  203.0.113.9 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.09 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.300 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n",
    b"PROXY TCP6 203.0.113.9 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 2\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 01 2\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 2\r\n",
    b"PROXY TCP4 203.0.113.9 host 1 2\r\n",
    b"PROXY UDP4 203.0.113.9 192.0.2.1 1 2\r\n",
    b"PROXY UNKNOWNED\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4 " + b"1" * MAXIMUM_LINE,
    b"PROXY UNKNOWN " + b"x" * MAXIMUM_LINE + b"\r\n",
    binary(command=0x11, body=addresses("203.0.113.9")),
    binary(command=0x22, body=addresses("203.0.113.9")),
    binary(body=addresses("203.0.113.9")[:-1]),
    binary(family=0x21, body=addresses("203.0.113.9")),
    binary(body=addresses("203.0.113.9"), extra=bytes(MAXIMUM_SIZE)),
    SIGNATURE[:11] + b"\r",
)


def in_pieces(data: bytes) -> Result:
    """What is said at the end of bytes that come one by one; nothing before that is said twice."""
    for size in range(1, len(data) + 1):
        result = read(data[:size])
        if result is not NEED_MORE:
            return result
    return NEED_MORE


class ReadTests(SynchronousTestCase):
    """From bytes to addresses."""

    def test_good(self) -> None:
        """Each form is read, byte by byte or at once, and nothing of what comes behind it is taken."""
        for data, host, port in GOOD:
            expected = ProxyHeader(len(data), host, port)
            self.assertEqual(in_pieces(data), expected, data)
            self.assertEqual(read(data + b"PROXY TCP4 \x16\x03\x01"), expected, data)

    def test_bad(self) -> None:
        """What is no header, or might mean two things, is none; it is said as soon as it is certain."""
        for data in BAD:
            self.assertIs(read(data), NO_HEADER, data)
            self.assertIs(in_pieces(data), NO_HEADER, data)

    def test_unfinished(self) -> None:
        """Every beginning of a header asks for more."""
        for data, _, _ in GOOD:
            for size in range(1, len(data)):
                self.assertIs(read(data[:size]), NEED_MORE, data[:size])

    @given(st.binary(max_size=200) | st.sampled_from([data for data, _, _ in GOOD]), st.binary(max_size=40))
    def test_any_bytes(self, beginning: bytes, rest: bytes) -> None:
        """Any bytes in any split give one answer, and no header is longer than what came."""
        data = beginning + rest
        whole = read(data) if data else NEED_MORE
        self.assertEqual(in_pieces(data), whole)
        if isinstance(whole, ProxyHeader):
            self.assertLessEqual(whole.size, len(data))
            self.assertEqual(read(data[: whole.size]), whole)
