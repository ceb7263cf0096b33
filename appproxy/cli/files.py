"""
Our files: found by the names that were given, told apart, read and checked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel

from appproxy.catalog.documents import Document
from appproxy.catalog.file_form import ApplicationsFile, parse_files
from appproxy.config.common import file_context, parse_settings
from appproxy.config.connector import ConnectorSettings
from appproxy.config.edge import EdgeSettings
from appproxy.config.relay import RelaySettings
from appproxy.model.problems import MAXIMUM_FILE_SIZE, Problem, TomlDocument

FileKind = Literal["edge", "connector", "relay", "applications"]

MODELS: Final[Mapping[FileKind, type[BaseModel]]] = {
    "edge": EdgeSettings,
    "connector": ConnectorSettings,
    "relay": RelaySettings,
    "applications": ApplicationsFile,
}
STANDARD_INPUT: Final = "-"


@dataclass(frozen=True)
class Text:
    """A file's text, and what its problems call it."""

    name: str
    content: str


@dataclass
class Checked:
    """
    What the files of one command say together.

    @ivar settings: the daemons' files without problems, by name.
    @ivar applications: the catalog's files, as one; L{None} without any, or with problems in them.
    """

    problems: list[Problem] = field(default_factory=list)
    settings: dict[str, BaseModel] = field(default_factory=dict)
    applications: Document | None = None


def read_texts(names: Iterable[str], *, stdin: Callable[[], str] | None = None) -> list[Text | Problem]:
    """
    Read what was named: files, folders (their C{*.toml}), or C{-}.

    @param stdin: reads standard input; C{sys.stdin} unless given.
    """
    return [read for name in names for read in _read_name(name, stdin or sys.stdin.read)]


def _read_name(name: str, stdin: Callable[[], str]) -> list[Text | Problem]:
    if name == STANDARD_INPUT:
        return [Text("<stdin>", stdin())]
    path = Path(name)
    if not path.is_dir():
        return [_read_path(path)]
    found = sorted(path.glob("*.toml"))
    return [_read_path(each) for each in found] or [Problem(name, None, "", "has no *.toml file")]


def _read_path(path: Path) -> Text | Problem:
    try:
        with path.open(encoding="utf-8") as file:
            return Text(str(path), file.read(MAXIMUM_FILE_SIZE + 1))
    except OSError as error:
        return Problem(str(path), None, "", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return Problem(str(path), None, "", "is not UTF-8 text")


def kind_of(text: Text) -> FileKind | None:
    """
    Which of our files this is: by its name, else by the sections that it has.

    @return: L{None} if it is not TOML, or could be none of them.
    """
    for kind in MODELS:
        if Path(text.name).stem == kind:
            return kind
    document = TomlDocument.parse(text.content, text.name)
    if isinstance(document, list):
        return None
    known = {kind: len(document.data.keys() & model.model_fields.keys()) for kind, model in MODELS.items()}
    best = max(known.values())
    return next(kind for kind in known if known[kind] == best) if best else None


def check_texts(texts: Sequence[Text | Problem], environment: Mapping[str, str] = os.environ) -> Checked:
    """Check each file by its kind, and the catalog's files as one."""
    checked = Checked([each for each in texts if isinstance(each, Problem)])
    catalog: list[tuple[str, str]] = []
    for text in texts:
        if isinstance(text, Problem):
            continue
        kind = kind_of(text)
        if kind == "applications":
            catalog.append((text.name, text.content))
        else:
            _check_settings(text, kind, checked, environment)
    if catalog:
        found = parse_files(catalog, own_hosts=_own_hosts(checked))
        if isinstance(found, list):
            checked.problems += found
        else:
            checked.applications = found
    return checked


def _check_settings(
    text: Text, kind: FileKind | None, checked: Checked, environment: Mapping[str, str]
) -> None:
    if kind is None:
        document = TomlDocument.parse(text.content, text.name)
        unknown = [Problem(text.name, None, "", "is none of edge, connector, relay and applications")]
        checked.problems += document if isinstance(document, list) else unknown
        return
    context = file_context(Path(text.name).parent, environment)
    found = parse_settings(MODELS[kind], text.content, text.name, context)
    if isinstance(found, list):
        checked.problems += found
    else:
        checked.settings[text.name] = found


def _own_hosts(checked: Checked) -> list[str]:
    return [
        host
        for settings in checked.settings.values()
        if isinstance(settings, EdgeSettings)
        for host in settings.hosts.model_dump().values()
    ]
