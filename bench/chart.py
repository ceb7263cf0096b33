"""
The picture of the comparison: SVG, light or dark as its reader has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from bench.rows import MAIN_CASE, OURS
from bench.section import Values

_WIDTH: Final = 760
_LABEL: Final = 160
_VALUE: Final = 70
_ROW: Final = 24
_BAR: Final = 14
_PANEL_GAP: Final = 30
_HEAD: Final = 26
_MARGIN: Final = 16

_STYLE: Final = """\
svg { background: #ffffff; }
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.ours { fill: #0969da; } .ours-2 { fill: #54aeff; }
.other { fill: #8c959f; } .other-2 { fill: #c4cad0; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  text { fill: #e6edf3; }
  .ours { fill: #4493f8; } .ours-2 { fill: #1f6feb; }
  .other { fill: #9198a1; } .other-2 { fill: #59616b; }
}"""


@dataclass(frozen=True)
class Bar:
    """
    One system in a panel.

    @ivar parts: what the bar is made of, by role.
    """

    name: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """The whole bar."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Panel:
    """Bars of one quantity."""

    title: str
    bars: Sequence[Bar]
    form: Callable[[float], str]


def draw(values: Values) -> str:
    """
    @param values: those of L{bench.report.load_section}.
    @return: the picture.
    """
    panels = [panel for panel in _panels(values) if panel.bars]
    height = _MARGIN
    drawn: list[str] = []
    for panel in panels:
        drawn += _draw_panel(panel, height)
        height += _HEAD + _ROW * len(panel.bars) + _PANEL_GAP
    height += _MARGIN - _PANEL_GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-label="appproxy beside its peers">',
            f"<style>\n{_STYLE}\n</style>",
            *drawn,
            "</svg>\n",
        ]
    )


def _panels(values: Values) -> list[Panel]:
    loads = [row for row in values["load"] if row["case"] == MAIN_CASE.label]
    bulks = values["bulk"]
    return [
        Panel(
            "CPU a request, us: 1 KB, 64 connections (less is better; first the outer process)",
            [Bar(row["system"], row["cpu_us_by_role"]) for row in loads],
            "{:.0f}".format,
        ),
        Panel(
            "Requests a second, the same (more is better)",
            [Bar(row["system"], {"all": row["requests_per_second"]}) for row in loads],
            "{:,.0f}".format,
        ),
        Panel(
            "P99 of these, ms (less is better)",
            [Bar(row["system"], {"all": row["p99_us"] / 1000}) for row in loads],
            "{:.1f}".format,
        ),
        Panel(
            "1 GiB to one client, MB/s (more is better)",
            [Bar(row["system"], {"all": row["mb_per_second"]}) for row in bulks],
            "{:,.0f}".format,
        ),
    ]


def _draw_panel(panel: Panel, top: int) -> list[str]:
    longest = max(bar.total for bar in panel.bars) or 1.0
    scale = (_WIDTH - 2 * _MARGIN - _LABEL - _VALUE) / longest
    drawn = [_text(_MARGIN, top + 13, panel.title, "title")]
    for number, bar in enumerate(panel.bars):
        drawn += _draw_bar(bar, top + _HEAD + number * _ROW, scale, panel.form)
    return drawn


def _draw_bar(bar: Bar, top: int, scale: float, form: Callable[[float], str]) -> list[str]:
    kind = "ours" if bar.name == OURS else "other"
    drawn = [_text(_MARGIN, top + 12, bar.name)]
    left = float(_MARGIN + _LABEL)
    for number, part in enumerate(bar.parts.values()):
        shade = f"{kind}-2" if number else kind
        width = part * scale
        drawn.append(f'<rect class="{shade}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}"/>')
        left += width
    drawn.append(_text(left + 6, top + 12, form(bar.total)))
    return drawn


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{css}>{escape(text)}</text>'
