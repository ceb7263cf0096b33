"""
What commands print: data on stdout, as a table or as JSON; messages on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Form = Literal["table", "json"]
Rows = Sequence[Mapping[str, object]]

_F = TypeVar("_F", bound=Callable[..., Any])


def output_option(command: _F) -> _F:
    """C{--output table|json}: the same for everything that shows."""
    choice = click.Choice(["table", "json"])
    option = click.option("--output", type=choice, default="table", show_default=True, help="How to print.")
    return option(command)


def print_json(value: object) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def tell(message: str) -> None:
    """A message for the person."""
    click.echo(message, err=True)


def on_terminal() -> bool:
    """Whether a person reads what goes to standard output."""
    return sys.stdout.isatty()


def is_plain() -> bool:
    """Whether the person wants no colours (no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def print_rows(rows: Rows, form: Form, nothing: str) -> None:
    """
    A list of objects.

    @param nothing: the message in place of an empty table.
    """
    if form == "json":
        print_json(list(rows))
    elif not rows:
        tell(nothing)
    else:
        print_table(list(rows[0]), [[shown(row.get(name)) for name in rows[0]] for row in rows])


def print_settings(settings: Mapping[str, object], form: Form) -> None:
    """One object: a line for each setting."""
    if form == "json":
        print_json(settings)
    else:
        print_table(["setting", "value"], [[name, shown(value)] for name, value in flat(settings)])


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table where there is a terminal; else plain columns that are never cut."""
    titles = [name.replace("_", " ") for name in names]
    if not on_terminal():
        print_columns(titles, rows)
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # Without colour, without bold too: a terminal that cannot do the one may garble the other.
    Console(color_system=None if is_plain() else "auto").print(table)


def print_columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, two blanks apart, the first line upper-case."""
    lines = [[title.upper() for title in titles], *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def flat(settings: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Names and values, a table's as C{table.name}."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def shown(value: object) -> str:
    """A value for people, without anything that a terminal would obey."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4f}".rstrip("0").rstrip(".")
        case list() | tuple():
            return ", ".join(shown(each) for each in value)
        case Mapping():
            return ", ".join(f"{name} {shown(each)}" for name, each in value.items())
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(value))


def count_of(number: int, noun: str) -> str:
    """C{1 change}, C{2 changes}."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
