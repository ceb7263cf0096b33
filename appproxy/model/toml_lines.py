"""
The line on which each key of a TOML 1.0 document stands.

A scanner for documents that C{tomllib} has accepted: it knows just enough of
the grammar to follow keys, and is not asked to find errors.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

KeyPath = tuple[str | int, ...]
"""Keys of tables and indexes of arrays, outermost first."""

_TOKEN: Final = re.compile(
    r"""
    (?P<skip>   [ \t\r]+ | \#[^\n]* )
  | (?P<string> \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
  | (?P<mark>   [\[\]{}=,.\n] )
  | (?P<word>   [^\s\[\]{}=,.\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_END: Final = ("", "", 0)


def lines_of_keys(text: str) -> dict[KeyPath, int]:
    """
    The line, counted from 1, of every key and array element.

    @param text: a document that C{tomllib.loads} accepts.
    """
    return _Scanner(text).scan()


class _Scanner:
    """Recursive descent over the tokens, noting a line at each key."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._elements: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_newlines() is not _END:
            table = self._header() if self._peek() == "[" else self._pair(table)
        return self._lines

    def _peek(self) -> str:
        kind, text, _ = self._token()
        return text if kind == "mark" else ""

    def _token(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self) -> tuple[str, str, int]:
        token = self._token()
        self._at += 1
        return token

    def _skip_newlines(self) -> tuple[str, str, int]:
        while self._peek() == "\n":
            self._at += 1
        return self._token()

    def _header(self) -> KeyPath:
        """C{[a.b]}, or C{[[a.b]]}, which opens the array's next element."""
        self._at += 1
        is_element = self._peek() == "["
        self._at += is_element
        line = self._token()[2]
        path: KeyPath = ()
        keys = self._key()
        self._at += 1 + is_element
        for key in keys[:-1]:
            path = self._note((*path, key), line)
            if path in self._elements:
                path = (*path, self._elements[path])
        path = self._note((*path, keys[-1]), line)
        if is_element:
            self._elements[path] = self._elements.get(path, -1) + 1
            path = self._note((*path, self._elements[path]), line)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        """C{a.b = value}, in a table or an inline table."""
        line = self._token()[2]
        path = table
        for key in self._key():
            path = self._note((*path, key), line)
        self._at += 1
        self._value(path)
        return table

    def _key(self) -> list[str]:
        keys = [_key_text(self._take())]
        while self._peek() == ".":
            self._at += 1
            keys.append(_key_text(self._take()))
        return keys

    def _value(self, path: KeyPath) -> None:
        opening = self._peek()
        if opening == "[":
            self._at += 1
            self._array(path)
        elif opening == "{":
            self._at += 1
            self._inline_table(path)
        else:
            while self._peek() not in (",", "]", "}", "\n") and self._token() is not _END:
                self._at += 1

    def _array(self, path: KeyPath) -> None:
        index = 0
        while self._skip_newlines() is not _END and self._peek() != "]":
            if self._peek() == ",":
                self._at += 1
                index += 1
            else:
                self._value(self._note((*path, index), self._token()[2]))
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        while self._skip_newlines() is not _END and self._peek() != "}":
            if self._peek() == ",":
                self._at += 1
            else:
                self._pair(path)
        self._at += 1

    def _note(self, path: KeyPath, line: int) -> KeyPath:
        self._lines.setdefault(path, line)
        return path


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "skip":
            found.append((kind, match[0], line))
        line += match[0].count("\n")
    return found


def _key_text(token: tuple[str, str, int]) -> str:
    kind, text, _ = token
    return str(tomllib.loads(f"key = {text}")["key"]) if kind == "string" else text
