"""
How many tests ended how, and the line that says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


@dataclass(frozen=True)
class Outcome:
    """Of one run of tests, or of several."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @classmethod
    def of(cls, line: str) -> Outcome | None:
        """What a line says, if it is such a line."""
        found = _LINE.fullmatch(line.strip())
        return cls(*map(int, found.groups())) if found else None
