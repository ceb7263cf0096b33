"""
What a measurement hands over: a piece of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """
    One measurement's outcome.

    @ivar name: its key in C{results.json}: lower case, no blanks.
    @ivar title: its heading in the report.
    @ivar lines: its text and tables, in Markdown.
    @ivar values: the same for programs: what C{json} can write.
    """

    name: str
    title: str
    lines: Sequence[str]
    values: Mapping[str, Any] = field(default_factory=dict)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; the first column is text, all others are numbers."""
    return [
        f"| {' | '.join(heads)} |",
        f"|---{'|--:' * (len(heads) - 1)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
