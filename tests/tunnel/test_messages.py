"""
Tests of L{appproxy.tunnel.messages}.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel import messages
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.messages import OpenMessage, pack_hello, unpack_hello, unpack_settings
from appproxy.tunnel.settings import PeerSettings, TunnelSettings
from tests.tunnel.support import request

OPENS = st.builds(
    OpenMessage,
    deadline_ms=st.integers(0, 2**32 - 1),
    transaction_id=st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26),
    application=st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63),
    revision=st.integers(0, 2**64 - 1),
    principal_number=st.integers(0, 2**31 - 1),
    principal_digest=st.binary(min_size=8, max_size=8),
    body=st.integers(-2, 2**63 - 1),
    upgrade=st.just(False),
    head=st.binary(max_size=100),
    client_connection=st.integers(0, 2**64 - 1),
)

UNPACKERS = [
    OpenMessage.unpack,
    unpack_hello,
    lambda payload: unpack_settings(payload, PeerSettings()),
    messages.unpack_reason,
    messages.unpack_go_away,
    messages.unpack_number,
    messages.unpack_long,
    messages.unpack_principal,
]


class MessageTests(SynchronousTestCase):
    """Payloads to values and back."""

    @settings(max_examples=150, deadline=None)
    @given(OPENS)
    def test_open_round_trip(self, message: OpenMessage) -> None:
        """What OPEN packs it unpacks."""
        self.assertEqual(OpenMessage.unpack(message.pack()), message)

    def test_open_question(self) -> None:
        """A question is told apart from a request, also by what is kept of a request's beginning."""
        message = request(b"PROBE /")
        asked = replace(message, ask=True)
        self.assertTrue(OpenMessage.unpack(asked.pack()).ask)
        self.assertFalse(messages.Beginning(message).fits(asked))
        for more in (replace(asked, body=5), replace(asked, principal_number=3)):
            error = self.assertRaises(TunnelError, OpenMessage.unpack, more.pack())
            self.assertEqual(error.code, "bad_message")

    def test_open_upgrade(self) -> None:
        """A request for an upgrade has no body; one with a body is refused."""
        message = request(upgrade=True)
        self.assertEqual(OpenMessage.unpack(message.pack()), message)
        bad = replace(message, body=5).pack()
        self.assertRaises(TunnelError, OpenMessage.unpack, bad)

    def test_open_refuses(self) -> None:
        """OPEN with a value out of bounds is neither sent nor accepted."""
        good = request()
        for change in (
            {"transaction_id": "short"},
            {"application": ""},
            {"application": "a" * 256},
            {"principal_digest": b"x"},
            {"body": -3},
        ):
            changed: dict[str, Any] = change
            self.assertRaises(ValueError, replace(good, **changed).pack)
        packed = good.pack()
        for index, byte in ((10, 0xFF), (1, 0), (1, 200), (6, 0x80), (42, 0x0A), (68, 0xFF)):
            broken = bytearray(packed)
            broken[index] = byte
            if index == 10:
                broken[18:26] = (-3).to_bytes(8, "big", signed=True)
            self.assertRaises(TunnelError, OpenMessage.unpack, bytes(broken))

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(UNPACKERS), st.binary(max_size=120))
    def test_junk(self, unpack: Any, payload: bytes) -> None:
        """Junk is read, or refused with C{TunnelError}; nothing else happens."""
        try:
            unpack(payload)
        except TunnelError:
            pass

    def test_deep_json(self) -> None:
        """JSON nested beyond reason is refused like other junk."""
        self.assertRaises(TunnelError, unpack_hello, b"[" * 16_000)

    def test_reason(self) -> None:
        """A detail arrives shortened and without control characters; a reason is one word."""
        packed = messages.pack_reason("backend_refused", "a\nb\x1b[31m" + "x" * 600)
        reason, detail = messages.unpack_reason(packed)
        self.assertEqual(reason, "backend_refused")
        self.assertTrue(detail.startswith("a b [31mxx"))
        self.assertEqual(len(detail), 512)
        self.assertRaises(TunnelError, messages.unpack_reason, b"\x03a b")

    def test_principal(self) -> None:
        """Claims and proof are told apart by the size of the claims."""
        packed = messages.pack_principal(5, b"claims", b"proof")
        self.assertEqual(messages.unpack_principal(packed), (5, b"claims", b"proof"))
        self.assertRaises(TunnelError, messages.unpack_principal, messages.pack_principal(0, b""))
        self.assertRaises(TunnelError, messages.unpack_principal, packed[:10])


class HelloTests(SynchronousTestCase):
    """What both sides agree on."""

    def hello(self, **changes: object) -> bytes:
        """A HELLO with some names changed."""
        plain = json.loads(pack_hello("opener", TunnelSettings()))
        return json.dumps(plain | changes).encode()

    def test_round_trip(self) -> None:
        """The peer sees our settings and name."""
        hello = unpack_hello(pack_hello("opener", TunnelSettings(max_streams=5, software="x/1")))
        self.assertEqual((hello.version, hello.role, hello.software), (1, "opener", "x/1"))
        self.assertEqual(hello.settings.max_streams, 5)

    def test_newer_peer(self) -> None:
        """A newer peer that still speaks version 1 gets version 1; names that we do not know are ignored."""
        hello = unpack_hello(self.hello(versions=[1, 9], colour="red", settings={"shape": 3}))
        self.assertEqual(hello.version, 1)
        self.assertEqual(hello.settings, PeerSettings())

    def test_no_common_version(self) -> None:
        """A peer without a common version is refused by that name."""
        error = self.assertRaises(TunnelError, unpack_hello, self.hello(versions=[2, 9]))
        self.assertEqual(error.code, "version")

    def test_refuses(self) -> None:
        """A HELLO with a value of the wrong type or out of bounds is refused."""
        changes: list[dict[str, Any]] = [
            {"versions": [1]},
            {"versions": ["1", "1"]},
            {"versions": [True, True]},
            {"role": "server"},
            {"software": "a\nb"},
            {"features": [1]},
            {"settings": []},
            {"settings": {"max_streams": -1}},
            {"settings": {"max_streams": True}},
            {"settings": {"initial_window": 0}},
        ]
        for change in changes:
            self.assertRaises(TunnelError, unpack_hello, self.hello(**change))

    def test_settings(self) -> None:
        """SETTINGS changes what it names, and never the window that streams began with."""
        after = unpack_settings(b'{"max_streams": 3, "initial_window": 99999, "new": "x"}', PeerSettings())
        self.assertEqual(after, PeerSettings(max_streams=3))
