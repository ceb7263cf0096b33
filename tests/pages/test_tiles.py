"""
Tests of L{appproxy.pages.tiles}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.pages.tiles import COLOURS, Tile, initials_of


class InitialsTests(SynchronousTestCase):
    """L{initials_of}."""

    def test_examples(self) -> None:
        """First letters of the first and last word, or the first two of one word."""
        for name, initials in {
            "Team wiki": "TW",
            "GitLab": "Gi",
            "Human resources (old)": "HO",
            "7zip": "7z",
            "  x ": "X",
            "Ärzte & Pflege": "ÄP",
            "日程": "日程",
            "---": "?",
            "": "?",
        }.items():
            self.assertEqual(initials_of(name), initials, name)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=30))
    def test_short(self, name: str) -> None:
        """Whatever the name, something short stands on the tile."""
        self.assertTrue(1 <= len(initials_of(name)) <= 6)


class TileTests(SynchronousTestCase):
    """L{Tile}."""

    def test_colour(self) -> None:
        """A tile's colour depends on its id alone and is one that exists."""
        self.assertEqual(Tile("wiki", "A", "").colour, Tile("wiki", "B", "/x").colour)
        colours = {Tile(str(number), "", "").colour for number in range(300)}
        self.assertEqual(colours, set(range(COLOURS)))

    def test_search(self) -> None:
        """Every word must be there, whatever its case and accents."""
        tile = Tile("1", "Café Übersicht", "", "Menü der Woche", "Büro")
        for query in ("", "cafe", "ÜBER woche", "buro menu"):
            self.assertTrue(tile.matches(query), query)
        self.assertFalse(tile.matches("cafe keller"))
