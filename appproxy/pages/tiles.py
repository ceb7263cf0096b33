"""
What the portal shows of an application: a name, an address, coloured initials.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final

COLOURS: Final = 10
"""The stylesheet has this many tile colours, all with enough contrast."""


@dataclass(frozen=True)
class Tile:
    """
    One application that the user may open.

    @ivar id: the application's id in the catalog; it picks the colour.
    @ivar url: where a click leads, absolute.
    """

    id: str
    name: str
    url: str
    description: str = ""
    category: str = ""

    @property
    def initials(self) -> str:
        """One or two letters or digits that stand for the name."""
        return initials_of(self.name)

    @property
    def colour(self) -> int:
        """A number below L{COLOURS} that stays with the application."""
        return hashlib.sha256(self.id.encode()).digest()[0] % COLOURS

    def matches(self, query: str) -> bool:
        """Whether every word of a search is in name, description or category."""
        text = _folded(f"{self.name} {self.description} {self.category}")
        return all(word in text for word in _folded(query).split())


def initials_of(name: str) -> str:
    """
    One or two characters: first letters of the first and last word, or the
    word's first two.
    """
    spaced = "".join(each if each.isalnum() else " " for each in unicodedata.normalize("NFC", name))
    words = spaced.split()
    if not words:
        return "?"
    if len(words) == 1:
        return words[0][:1].upper() + words[0][1:2].lower()
    return (words[0][:1] + words[-1][:1]).upper()


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in decomposed if not unicodedata.combining(each))
