"""
Writes the catalog in its file form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from appproxy.catalog.documents import Entries, Entry

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


def export(entries: Entries) -> str:
    """
    The whole catalog as TOML that L{appproxy.catalog.file_form.parse_file} reads
    back as the same objects. Settings at their default are left out.
    """
    tables = ["format = 1\n"]
    kinds: dict[str, Mapping[str, Entry]] = {
        "connector_groups": entries.groups,
        "applications": entries.applications,
    }
    for name, some in kinds.items():
        for entry_id, entry in sorted(some.items()):
            tables += _tables([name, entry_id], _plain(entry))
    return "\n".join(tables)


def _plain(entry: Entry) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude_defaults=True, exclude_none=True)


def _tables(path: list[str], plain: Mapping[str, Any]) -> Iterator[str]:
    """One object's table, then one for each of its settings that is a table itself."""
    inner = {key: value for key, value in plain.items() if isinstance(value, Mapping)}
    yield _table(path, ((key, value) for key, value in plain.items() if key not in inner))
    for key, value in inner.items():
        yield _table([*path, key], _dotted(value))


def _table(path: list[str], lines: Iterator[tuple[str, Any]]) -> str:
    title = ".".join(_key(part) for part in path)
    return "".join([f"[{title}]\n", *(f"{key} = {_value(value)}\n" for key, value in lines)])


def _dotted(plain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values, a table's keys as C{table.key}."""
    for key, value in plain.items():
        if isinstance(value, Mapping):
            for below, inner in value.items():
                yield f"{_key(key)}.{_key(below)}", inner
        else:
            yield _key(key), value


def _key(name: str) -> str:
    return name if _BARE_KEY.match(name) else _text(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case list() | tuple():
            return f"[{', '.join(_value(each) for each in value)}]"
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
            return f"{{ {inner} }}"
        case _:
            return repr(value)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's too, but TOML also wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
