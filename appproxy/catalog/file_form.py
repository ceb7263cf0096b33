"""
The catalog as administrators write it, C{applications.toml}: read from one or
several files, with every problem of all of them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, Literal

from pydantic import ValidationError

from appproxy.catalog.cross_checks import FileEntry, cross_check
from appproxy.catalog.documents import Document, Entries, Kind
from appproxy.model.application import Application, ConnectorGroup, Identifier
from appproxy.model.problems import Problem, TomlDocument, validate
from appproxy.model.schema import Model

MAXIMUM_FILES: Final = 1000
"""Files in one set: a folder with a file for each application fits, a wrong folder is refused early."""

TABLES: Final[dict[Kind, str]] = {"connector_group": "connector_groups", "application": "applications"}
"""The table of the file that each kind of object stands in."""

_STAND_INS: Final[dict[str, object]] = {
    "name": "stand-in",
    "external_url": "https://stand-in.invalid/",
    "internal_url": "https://stand-in.invalid/",
    "connector_group": "stand-in",
}


class ApplicationsFile(Model):
    """One file of the catalog."""

    format: Literal[1]
    connector_groups: dict[Identifier, ConnectorGroup] = {}
    applications: dict[Identifier, Application] = {}


def parse_file(text: str, name: str) -> Document | list[Problem]:
    """
    Read one file that stands for itself.

    @param name: what problems call the file.
    @return: what it asks for, or every problem in the order of the file.
    """
    return parse_files([(name, text)])


def parse_files(
    files: Sequence[tuple[str, str]],
    beside: Entries | None = None,
    own_hosts: Collection[str] = (),
) -> Document | list[Problem]:
    """
    Read a set of files that together ask for one thing.

    @param files: name and text of each.
    @param beside: what exists already and stays (a file's objects replace their namesakes).
    @param own_hosts: hosts of the edge itself, which no application can have.
    @return: what they ask for, or every problem, file by file.
    """
    if len(files) > MAXIMUM_FILES:
        return [Problem(files[0][0], None, "", f"is one of more than {MAXIMUM_FILES} files")]
    problems: list[Problem] = []
    entries: list[FileEntry] = []
    read: list[ApplicationsFile] = []
    for name, text in files:
        document = TomlDocument.parse(text, name)
        if isinstance(document, list):
            problems += document
            continue
        entries += _entries(document)
        found = _validated(document)
        if isinstance(found, list):
            problems += found
        else:
            read.append(found)
    problems += cross_check(entries, beside or Document(), own_hosts)
    return _in_order(problems, [name for name, _ in files]) if problems else _together(read)


def _validated(document: TomlDocument) -> ApplicationsFile | list[Problem]:
    found = validate(ApplicationsFile, document.data, document)
    if isinstance(found, list):
        for entry in _entries(document):
            found += _second_look(entry) if entry.kind == "application" else []
    return found


def _second_look(entry: FileEntry) -> list[Problem]:
    """
    What the model checks only once every single setting is right, told at once
    with what is wrong in the settings.
    """
    try:
        Application.model_validate(entry.table)
        return []
    except ValidationError as error:
        broken = {detail["loc"][0] for detail in error.errors(include_url=False) if detail["loc"]}
    if not broken or "pre_authentication" in broken:
        return []
    right = {name: value for name, value in entry.table.items() if name not in broken}
    found = validate(Application, {**_STAND_INS, **right}, entry.document, entry.path)
    return found if isinstance(found, list) else []


def _entries(document: TomlDocument) -> Iterator[FileEntry]:
    for kind, table_name in TABLES.items():
        tables = document.data.get(table_name)
        for entry_id, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                yield FileEntry(kind, entry_id, table, document, (table_name, entry_id))


def _together(files: Sequence[ApplicationsFile]) -> Document:
    return Document(
        applications={key: value for file in files for key, value in file.applications.items()},
        groups={key: value for file in files for key, value in file.connector_groups.items()},
    )


def _in_order(problems: Sequence[Problem], names: Sequence[str]) -> list[Problem]:
    place = {name: index for index, name in enumerate(names)}
    return sorted(dict.fromkeys(problems), key=lambda each: (place.get(each.file, -1), each.line or 0))
