"""
C{appproxy schema}: JSON Schema of our files, for editors.
"""

from __future__ import annotations

import json
from typing import Any

import click

from appproxy.cli.files import MODELS, FileKind

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NEVER_MUST = frozenset({"hosts"})
"""What the model always has and a file may leave out: it follows from the domain."""


@click.command()
@click.argument("kind", type=click.Choice(list(MODELS)))
def schema(kind: FileKind) -> None:
    """Print the JSON Schema of one kind of file."""
    click.echo(json.dumps(schema_of(kind), indent=2))


def schema_of(kind: FileKind) -> dict[str, Any]:
    """The JSON Schema of C{KIND.toml}, as the file is written (durations and sizes are texts)."""
    plain = MODELS[kind].model_json_schema(mode="serialization")
    _without_titles(plain)
    for model in (plain, *plain.get("$defs", {}).values()):
        if "required" in model:
            model["required"] = [name for name in model["required"] if name not in NEVER_MUST]
    hosts = plain.get("$defs", {}).get("Hosts", {})
    hosts.pop("required", None)
    return {"$schema": DIALECT, "title": f"{kind}.toml", **{k: v for k, v in plain.items() if k != "title"}}


def _without_titles(plain: Any) -> None:
    """Titles only repeat the names, and descriptions are written for programmers."""
    if isinstance(plain, list):
        for each in plain:
            _without_titles(each)
    elif isinstance(plain, dict):
        if "type" in plain or "$ref" in plain or "anyOf" in plain or "$defs" in plain or "enum" in plain:
            for name in ("title", "description"):
                if isinstance(plain.get(name), str):
                    del plain[name]
        for each in plain.values():
            _without_titles(each)
