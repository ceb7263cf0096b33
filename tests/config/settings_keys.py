"""The keys of a settings model, as a file would have them."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from appproxy.model.units import format_duration, parse_duration

MUST: Final = object()
"""Stands for a key without default."""


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Dotted keys and their defaults as plain TOML values; L{None} is written as C{""}."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = _section(field)
        if inner is not None:
            found.update(keys_of(inner, f"{prefix}{name}."))
        else:
            found[prefix + name] = MUST if field.is_required() else _plain_default(field)
    return found


def flatten(data: dict[str, Any], known: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of parsed TOML; a table that is one key of C{known} is left whole."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        key = prefix + name
        if isinstance(value, dict) and key not in known:
            found.update(flatten(value, known, f"{key}."))
        else:
            found[key] = value
    return found


def _section(field: FieldInfo) -> type[BaseModel] | None:
    for choice in (field.annotation, *get_args(field.annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None


def _plain_default(field: FieldInfo) -> Any:
    kind: Any = field.annotation
    for metadata in field.metadata:
        kind = Annotated[kind, metadata]
    value = TypeAdapter(kind).dump_python(field.default, mode="json")
    return "" if value is None else value


def canonical(values: dict[str, Any]) -> dict[str, Any]:
    """The same values with each duration in its shortest form: C{"60s"} is C{"1m"}."""
    return {key: _canonical_duration(value) for key, value in values.items()}


def _canonical_duration(value: Any) -> Any:
    try:
        return format_duration(parse_duration(value)) if isinstance(value, str) else value
    except ValueError:
        return value
