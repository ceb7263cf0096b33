"""
Writes the few kinds of TOML that configuration files need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]


def toml_text(settings: Settings) -> str:
    """
    A file with these settings; tables are nested mappings.

    @param settings: texts, paths, numbers, truth values, lists of them, and tables.
    """
    return "\n".join(_lines(settings, ())) + "\n"


def merged(settings: Settings, changes: Settings) -> dict[str, Any]:
    """The settings with changes, table by table."""
    result = dict(settings)
    for name, value in changes.items():
        below = result.get(name)
        both_tables = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[name] = merged(below, value) if both_tables else value  # type: ignore[arg-type]
    return result


def _lines(settings: Settings, path: tuple[str, ...]) -> list[str]:
    plain = {name: value for name, value in settings.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(json.dumps, path))}]"] if path else []
    lines += [f"{json.dumps(name)} = {_value(value)}" for name, value in plain.items()]
    return lines + [line for name, table in tables.items() for line in _lines(table, (*path, name))]


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
