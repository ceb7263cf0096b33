"""
What is wrong with a file that an administrator wrote: every problem at once,
with file, line and key path.

L{TomlDocument} reads TOML (1.0) with the standard library and adds what that
lacks, the line of each key. L{validate} turns pydantic's errors into
L{Problem}s that say what to write instead.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from appproxy.model.toml_lines import KeyPath, lines_of_keys

__all__ = ["KeyPath", "Problem", "TomlDocument", "format_key_path", "suggestion", "validate"]

MAXIMUM_FILE_SIZE: Final = 32 << 20
"""Characters in one file: a catalog of 50,000 applications fits, a wrong file is refused early."""

M = TypeVar("M", bound=BaseModel)

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")


@dataclass(frozen=True)
class Problem:
    """
    One thing that is wrong.

    @ivar line: counted from 1, or L{None} where it cannot be told.
    @ivar key_path: as in TOML, C{sign_in.issuer}; empty for the file as a whole.
    """

    file: str
    line: int | None
    key_path: str
    message: str

    def __str__(self) -> str:
        """C{edge.toml:12: sign_in.issuer: message}."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.key_path, self.message) if part)


def format_key_path(path: Iterable[str | int]) -> str:
    """C{applications.wiki.users[0]}; keys that need quotes get them."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = part if _BARE_KEY.match(part) else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
        text += f".{key}" if text else key
    return text


@dataclass(frozen=True)
class TomlDocument:
    """
    A parsed file that knows where its keys stand.

    @ivar name: what problems call the file.
    @ivar data: as C{tomllib} gives it.
    """

    name: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    @classmethod
    def parse(cls, text: str, name: str) -> TomlDocument | list[Problem]:
        """
        Read TOML.

        @return: the document, or the one problem that makes it unreadable.
        """
        if len(text) > MAXIMUM_FILE_SIZE:
            return [Problem(name, None, "", f"is longer than {MAXIMUM_FILE_SIZE >> 20} MiB")]
        try:
            data = tomllib.loads(text)
            return cls(name, data, lines_of_keys(text))
        except tomllib.TOMLDecodeError as error:
            return [_unreadable(str(error), text, name)]
        except RecursionError:
            return [Problem(name, None, "", "is nested too deeply")]

    def line_of(self, path: Iterable[str | int]) -> int | None:
        """The line of a key, else of the table that it stands (or is missing) in."""
        parts = tuple(path)
        for length in range(len(parts), 0, -1):
            line = self.lines.get(parts[:length])
            if line is not None:
                return line
        return None

    def problem(self, path: Iterable[str | int], message: str) -> Problem:
        """A problem at a key of this document."""
        parts = tuple(path)
        return Problem(self.name, self.line_of(parts), format_key_path(parts), message)


def validate(
    model: type[M], data: object, document: TomlDocument, at: KeyPath = (), context: object = None
) -> M | list[Problem]:
    """
    Build a model from a document, or from a part of one.

    @param data: the document's data, or what stands below C{at} in it.
    @param context: what the model's validators are told.
    @return: the model, or every problem, in the order of the file.
    """
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        # The input is left out: it may be a secret in the wrong place.
        details = error.errors(include_url=False, include_input=False)
        problems = [_problem_of(model, data, detail, document, at) for detail in details]
        unique = dict.fromkeys(problems)
        return sorted(unique, key=lambda problem: problem.line or 0)


def suggestion(name: str, known: Iterable[str]) -> str:
    """C{'; did you mean "x"?'}, or nothing where no known name is close."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _unreadable(message: str, text: str, name: str) -> Problem:
    place = _TOML_PLACE.search(message)
    if place is None:
        return Problem(name, None, "", f"is not TOML: {message}")
    line = int(place[1]) if place[1] else text.rstrip("\n").count("\n") + 1
    return Problem(name, line, "", f"is not TOML: {message[: place.start()]}")


def _problem_of(
    model: type[BaseModel], data: object, detail: ErrorDetails, document: TomlDocument, at: KeyPath
) -> Problem:
    path = _path_of(data, detail["loc"], missing=detail["type"] == "missing")
    return document.problem((*at, *path), _message_of(model, detail))


def _path_of(data: object, location: Sequence[str | int], *, missing: bool) -> KeyPath:
    """
    The key path of one of pydantic's locations.

    A location has parts that are no keys (the tag of a union, C{[key]}), so the
    reading is taken that ends in a key and skips the fewest parts.
    """
    last = len(location) - 1
    best: tuple[tuple[bool, int], KeyPath] = ((False, -1), ())
    for path, used in _readings(data, location, 0):
        is_missing_key = missing and last not in used
        score = (last in used or is_missing_key, len(used) + is_missing_key)
        if score > best[0]:
            best = (score, (*path, location[last]) if is_missing_key else path)
    return best[1]


def _readings(
    data: object, location: Sequence[str | int], start: int
) -> Iterator[tuple[KeyPath, tuple[int, ...]]]:
    yield (), ()
    for index in range(start, len(location)):
        part = location[index]
        for inner in _step(data, part):
            for path, used in _readings(inner, location, index + 1):
                yield (part, *path), (index, *used)


def _step(data: object, part: str | int) -> tuple[object, ...]:
    if isinstance(data, dict) and part in data:
        return (data[part],)
    if isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
        return (data[part],)
    return ()


_MESSAGES: Final = {
    "missing": "is missing",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "string_type": "write a text in quotes",
    "tuple_type": "write a list in square brackets",
    "list_type": "write a list in square brackets",
    "model_type": "write a table",
    "model_attributes_type": "write a table",
    "dict_type": "write a table",
}


def _message_of(model: type[BaseModel], detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        *parents, name = detail["loc"]
        return "is not a setting" + suggestion(str(name), _field_names(model, parents))
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    context = detail.get("ctx", {})
    if kind == "value_error" and "error" in context:
        return str(context["error"])
    if kind in ("literal_error", "union_tag_invalid"):
        expected = context.get("expected", context.get("expected_tags", ""))
        return f"write {str(expected).replace(chr(39), chr(34))}"
    message = detail["msg"]
    return message[:1].lower() + message[1:]


def _field_names(model: type[BaseModel], location: Iterable[str | int]) -> set[str]:
    """The keys that a model knows at one of pydantic's locations."""
    here: set[Any] = {model}
    for part in location:
        here = {inner for annotation in here for inner in _annotations_below(annotation, part)} or here
    return {name for each in here if _is_model(each) for name in each.model_fields}


def _annotations_below(annotation: Any, part: str | int) -> set[Any]:
    if _is_model(annotation):
        field = annotation.model_fields.get(part)
        return _choices(field.annotation) if field is not None else set()
    arguments = get_args(annotation)
    if get_origin(annotation) is dict or (arguments and isinstance(part, int)):
        return _choices(arguments[1] if get_origin(annotation) is dict else arguments[0])
    return set()


def _choices(annotation: Any) -> set[Any]:
    """An annotation without C{Annotated} and C{|}: the models, dicts and lists that it allows."""
    if _is_model(annotation) or get_origin(annotation) in (dict, list, tuple):
        return {annotation}
    arguments = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _choices(arguments[0])
    return {inner for each in arguments for inner in _choices(each)}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
