"""Tests of what TIMES carries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel.frames import TIMES, encode
from appproxy.tunnel.times import NAME_BYTES, TIMES_SIZE, name_times, named_in, pack_times, seconds_at


class TimesTests(SynchronousTestCase):
    """Times, and whose they are."""

    def test_times(self) -> None:
        """Times cross in microseconds; what is not known, or longer than fits, has a value of its own."""
        packed = pack_times(1.5, -1.0, 0.000_002)
        self.assertEqual([seconds_at(packed, at) for at in (0, 4, 8)], [1.5, -1.0, 0.000_002])
        longest = seconds_at(pack_times(1e9, 0.0, -0.5), 0)
        self.assertAlmostEqual(longest, 4294.967294)

    def test_name_is_the_relays(self) -> None:
        """A relay's word replaces what a connector said of itself; the times stay."""
        packed = pack_times(1.5, -1.0, 0.25)
        self.assertEqual(named_in(packed), "")
        named = name_times(packed + b"somebody else", "hq-1")
        self.assertEqual((named[:TIMES_SIZE], named_in(named)), (packed, "hq-1"))

    def test_nothing_said(self) -> None:
        """Of a connector that is gone only the name is known."""
        named = name_times(b"", "hq-1")
        self.assertEqual([seconds_at(named, at) for at in (0, 4, 8)], [-1.0] * 3)
        self.assertEqual(named_in(named), "hq-1")

    @given(st.text(max_size=200))
    def test_any_name(self, name: str) -> None:
        """A name of any length fits into a frame, whole or its beginning, and no character is torn."""
        named = name_times(b"", name)
        encode(TIMES, 1, named)
        self.assertTrue(name.startswith(named_in(named)))
        if len(name.encode()) <= NAME_BYTES:
            self.assertEqual(named_in(named), name)
