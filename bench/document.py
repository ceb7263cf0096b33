"""
Puts what was measured into C{docs/performance.md}, between its two marks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bench.chart import draw
from bench.processes import BenchError
from bench.results import text_of
from bench.section import Values
from bench.singles import SINGLES

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
CHART: Final = DOCUMENT.with_suffix(".svg")
BEGIN: Final = "<!-- make bench: begin -->"
END: Final = "<!-- make bench: end -->"

ORDER: Final = ("load", *SINGLES)
"""Of the sections; one that was never measured is not there."""


def write_document(kept: Values, document: Path = DOCUMENT, chart: Path = CHART) -> None:
    """
    Write text and chart anew.

    @param kept: everything in C{results.json}.
    @raise BenchError: if the document has no marks.
    """
    if "load" in kept:
        chart.write_text(draw(kept["load"]["values"]), "utf-8")
    text = document.read_text("utf-8")
    document.write_text(replaced(text, "\n".join(_lines(kept))), "utf-8")


def replaced(text: str, new: str) -> str:
    """
    The text with something new between the marks.

    @raise BenchError: if they are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"docs/performance.md has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def _lines(kept: Values) -> list[str]:
    lines: list[str] = []
    for name in ORDER:
        if name in kept:
            lines += text_of(kept[name])
            if name == "load":
                lines += [*_made(kept[name]), ""]
    return lines


def _made(section: Any) -> list[str]:
    machine = section["machine"]
    return [
        f"![The comparison as a chart]({CHART.name})",
        "",
        f"Measured on {section['made_at'][:10]}: {machine['cores']} cores of {machine['processor']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}, nginx {machine['nginx']}.",
    ]
