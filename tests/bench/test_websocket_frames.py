"""Promises of L{bench.websocket_frames}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.echo import key_of
from bench.websocket_frames import accept_key, pack, unpack

MASK = b"\x01\xfe\x33\x80"


class FrameTests(SynchronousTestCase):
    """Text messages of one frame."""

    def test_examples(self) -> None:
        """The examples of RFC 6455, sections 1.3 and 5.7."""
        self.assertEqual(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(pack(b"Hello"), bytes.fromhex("810548656c6c6f"))
        self.assertEqual(pack(b"Hello", bytes.fromhex("37fa213d")), bytes.fromhex("818537fa213d7f9f4d5158"))

    @given(st.lists(st.binary(max_size=300), max_size=8), st.booleans(), st.integers(0, 40))
    def test_round_trip(self, payloads: list[bytes], masked: bool, cut: int) -> None:
        """What was packed is read again, however many come at once; a cut one waits for its rest."""
        data = b"".join(pack(payload, MASK if masked else b"") for payload in payloads)
        self.assertEqual(unpack(data), (payloads, b""))
        at = max(0, len(data) - cut)
        first, rest = unpack(data[:at])
        second, nothing = unpack(rest + data[at:])
        self.assertEqual((first + second, nothing), (payloads, b""))

    def test_others(self) -> None:
        """Other frames are not mistaken for messages."""
        self.assertRaises(ValueError, unpack, b"\x88\x00")
        self.assertRaises(ValueError, unpack, b"\x81\x7f" + bytes(8))


class KeyTests(SynchronousTestCase):
    """The request for an upgrade."""

    def test_key(self) -> None:
        """The key is found in any spelling of its name; a plain request has none."""
        self.assertEqual(key_of(b"GET / HTTP/1.1\r\nSEC-WebSocket-Key:  abc== \r\nHost: a"), b"abc==")
        self.assertEqual(key_of(b"GET / HTTP/1.1\r\nHost: a"), b"")
