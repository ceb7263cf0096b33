"""Tests of L{appproxy.transport.client_hello}."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport import client_hello
from appproxy.transport.client_hello import MAXIMUM_SIZE, NEED_MORE, NOT_TLS, ClientHello, read


def real_hello(name: str | None = "wiki.example.com", alpn: Sequence[str] = ("h2", "http/1.1")) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def vector(prefix: int, data: bytes) -> bytes:
    """Data with its length before it."""
    return len(data).to_bytes(prefix, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return kind.to_bytes(2, "big") + vector(2, data)


def server_name(name: bytes) -> bytes:
    """The server name extension."""
    return extension(0, vector(2, b"\0" + vector(2, name)))


def hello(extensions: bytes | None, *, session_id: bytes = b"", suites: bytes = b"\x13\x01") -> bytes:
    """A handshake message of our own making."""
    body = b"\x03\x03" + bytes(32) + vector(1, session_id) + vector(2, suites) + vector(1, b"\0")
    if extensions is not None:
        body += vector(2, extensions)
    return b"\x01" + vector(3, body)


def records(message: bytes, size: int = 1 << 14) -> bytes:
    """The message in records of this many bytes."""
    parts = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + vector(2, part) for part in parts)


HELLO = real_hello()
EXPECTED = ClientHello("wiki.example.com", (b"h2", b"http/1.1"))


class ReadTests(SynchronousTestCase):
    """What is read, and what is refused."""

    def test_real(self) -> None:
        """Name and protocols of a real client are found."""
        self.assertEqual(read(HELLO), EXPECTED)

    def test_nothing_asked_for(self) -> None:
        """A client may name neither host nor protocol."""
        self.assertEqual(read(real_hello(None, ())), ClientHello(None, ()))
        self.assertEqual(read(records(hello(None))), ClientHello())

    def test_every_prefix_needs_more(self) -> None:
        """As long as one byte is missing the answer is "need more", whatever the cut."""
        for size in range(len(HELLO)):
            self.assertIs(read(HELLO[:size]), NEED_MORE)

    def test_later_bytes_do_not_matter(self) -> None:
        """What follows the message, early data say, is not looked at."""
        self.assertEqual(read(HELLO + b"\x17\x03\x03\x00\x01x"), EXPECTED)

    def test_name_is_normalised(self) -> None:
        """Upper case and one trailing dot make no other name."""
        message = records(hello(server_name(b"Wiki.EXAMPLE.com.")))
        self.assertEqual(read(message), ClientHello("wiki.example.com"))

    def test_strangers(self) -> None:
        """Other protocols and broken messages are told at the first byte that is wrong."""
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"\x80\x2e\x01\x03\x01",
            b"\x16\x02",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\x40\x01",
            b"\x16\x03\x01\x00\x05\x02",
            b"\x16\x03\x01\x00\x09\x01\xff\xff\xff",
            b"SSH-2.0-x",
        ):
            self.assertIs(read(data), NOT_TLS, data)

    def test_malformed(self) -> None:
        """A message that contradicts itself is no message."""
        alpn = extension(16, vector(2, vector(1, b"h2")))
        for message in (
            hello(server_name(b"a.example") + server_name(b"b.example")),
            hello(alpn + alpn),
            hello(server_name(b"a b.example")),
            hello(server_name(b"a\0.example")),
            hello(server_name(b"")),
            hello(server_name(b"a" * 254)),
            hello(server_name("ä.example".encode())),
            hello(extension(0, b"")),
            hello(extension(0, vector(2, b"\1" + vector(2, b"a.example")))),
            hello(extension(0, vector(2, b"\0" + vector(2, b"a") + b"\0" + vector(2, b"b")))),
            hello(extension(16, vector(2, b""))),
            hello(extension(16, vector(2, vector(1, b"")))),
            hello(extension(16, vector(2, b"\x05h2"))),
            hello(b"\0"),
            hello(None, session_id=bytes(33)),
            hello(None, suites=b""),
            hello(None, suites=b"\x13"),
            b"\x01" + vector(3, hello(None)[4:-1]),
            b"\x01" + vector(3, b"\x02\x03" + bytes(40)),
        ):
            self.assertIs(read(records(message)), NOT_TLS, message)

    def test_size_is_bounded(self) -> None:
        """A message that never ends is given up at the limit."""
        endless = records(b"\x01\x00\x3f\xff" + bytes(MAXIMUM_SIZE))
        self.assertIs(read(endless[: MAXIMUM_SIZE - 1]), NEED_MORE)
        self.assertIs(read(endless[:MAXIMUM_SIZE]), NOT_TLS)

    def test_number_of_records_is_bounded(self) -> None:
        """One byte a record is an attack on our time, not a client."""
        self.assertIs(read(records(hello(None), 1)), NOT_TLS)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(min_value=len(HELLO) // 30 + 1, max_value=len(HELLO)))
    def test_any_record_size(self, size: int) -> None:
        """The message may be cut into records anywhere."""
        self.assertEqual(read(records(HELLO[5:], size)), EXPECTED)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=400))
    def test_junk(self, data: bytes) -> None:
        """No bytes whatever raise, alone or as the inside of a message."""
        read(data)
        read(records(b"\x01" + vector(3, data)))
        read(records(hello(data)))

    @settings(max_examples=200, deadline=None)
    @given(st.integers(min_value=0, max_value=len(HELLO) - 1), st.integers(min_value=0, max_value=255))
    def test_changed_byte(self, position: int, value: int) -> None:
        """One changed byte of a real message gives some answer, and never a name with odd characters."""
        answer = read(HELLO[:position] + bytes([value]) + HELLO[position + 1 :])
        if isinstance(answer, ClientHello) and answer.server_name is not None:
            self.assertRegex(answer.server_name, r"\A[a-z0-9._-]+\Z")

    @settings(max_examples=100, deadline=None)
    @given(
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,20}){0,4}", fullmatch=True),
        st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5),
    )
    def test_any_names(self, name: str, protocols: list[bytes]) -> None:
        """What stands in the extensions comes out."""
        offered = extension(16, vector(2, b"".join(vector(1, each) for each in protocols)))
        message = records(hello(offered + extension(0x0A0A, b"") + server_name(name.encode())))
        self.assertEqual(read(message), ClientHello(name, tuple(protocols)))

    def test_names(self) -> None:
        """The module gives its answers the names that it promises."""
        self.assertIs(client_hello.Peek.NeedMore, NEED_MORE)
