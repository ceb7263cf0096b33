"""
Writes configuration files.
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


def _lines(settings: Settings, path: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(map(json.dumps, path))}]"] if path else []
    tables: list[str] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            tables += _lines(value, (*path, name))
        else:
            lines.append(f"{json.dumps(name)} = {_value(value)}")
    return lines + tables


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
