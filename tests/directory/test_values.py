"""Tests of L{appproxy.directory.values}."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.values import (
    AccountControl,
    filetime_seconds,
    guid_text,
    is_security_group,
    is_sid,
    realm_of,
    relative_id,
    sid_bytes,
    sid_text,
)

ADMINISTRATORS = "S-1-5-32-544"

sids = st.builds(
    lambda authority, parts: (
        bytes((1, len(parts)))
        + authority.to_bytes(6, "big")
        + b"".join(each.to_bytes(4, "little") for each in parts)
    ),
    st.integers(0, 2**48 - 1),
    st.lists(st.integers(0, 2**32 - 1), max_size=15),
)


class SidTests(SynchronousTestCase):
    """Security identifiers."""

    def test_known(self) -> None:
        """As Windows writes it: the authority in one order of bytes, the rest in the other."""
        raw = bytes.fromhex("01020000000000052000000020020000")
        self.assertEqual(sid_text(raw), ADMINISTRATORS)
        self.assertEqual(sid_bytes(ADMINISTRATORS.lower()), raw)
        self.assertEqual(relative_id(ADMINISTRATORS), 544)

    @given(sids)
    @example(b"\x01\x00\xff\xff\xff\xff\xff\xff")
    def test_round_trip(self, raw: bytes) -> None:
        """There and back is the same."""
        self.assertEqual(sid_bytes(sid_text(raw)), raw)

    @given(st.binary(max_size=80))
    def test_any_bytes(self, raw: bytes) -> None:
        """What is no identifier is refused; whatever is taken, is taken whole."""
        try:
            text = sid_text(raw)
        except ValueError:
            return
        self.assertEqual(sid_bytes(text), raw)

    @given(st.text(alphabet="Ss-0123456789x٣abcF ", max_size=40))
    @example("S-1-5-32-544-")
    @example("S-1-0x-1")
    @example("S-1-5-4294967296")
    @example("S-1-5-٣")
    def test_any_text(self, text: str) -> None:
        """Text is an identifier, which stays one, or is refused."""
        if is_sid(text):
            self.assertEqual(sid_bytes(sid_text(sid_bytes(text))), sid_bytes(text))
        else:
            self.assertRaises(ValueError, sid_bytes, text)

    def test_refused(self) -> None:
        """Names that only look like it."""
        for text in (
            "",
            "S",
            "S-1",
            "S-2-5-18",
            "S-1-5-x",
            "S-1-5--1",
            "S-1-0xFFFFFFFFFFFFF-1",
            "S-1-5" + "-1" * 16,
        ):
            self.assertFalse(is_sid(text), text)


class OtherValueTests(SynchronousTestCase):
    """Times, flags, names."""

    def test_times(self) -> None:
        """Ticks since 1601; two values are never."""
        self.assertEqual(filetime_seconds(116444736000000000), 0)
        self.assertEqual(filetime_seconds(116444736010000000), 1)
        self.assertIsNone(filetime_seconds(0))
        self.assertIsNone(filetime_seconds(2**63 - 1))

    def test_unknown_flags(self) -> None:
        """Bits that nobody here knows stay."""
        self.assertEqual(AccountControl(0x4000202) & 0x4000000, 0x4000000)

    def test_group_type(self) -> None:
        """Active Directory writes the sign bit as a sign."""
        self.assertTrue(is_security_group(-2147483646))
        self.assertFalse(is_security_group(2))

    def test_guid(self) -> None:
        """The first three parts are little-endian."""
        raw = bytes.fromhex("00112233445566778899aabbccddeeff")
        self.assertEqual(guid_text(raw), "33221100-5544-7766-8899-aabbccddeeff")
        self.assertRaises(ValueError, guid_text, b"short")

    def test_realm(self) -> None:
        """Made of the domain's parts; what is escaped is none."""
        self.assertEqual(realm_of("CN=x,OU=y, DC=corp,dc=Example"), "CORP.EXAMPLE")
        self.assertEqual(realm_of(r"CN=a\,DC=evil,DC=corp"), "CORP")
        self.assertEqual(realm_of(r"CN=a\\,DC=corp"), "CORP")
