"""The line of each key."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.toml_lines import KeyPath, lines_of_keys

DOCUMENT = '''# [not.a.table]
domain = "x"   # and = no key

[[a.b]]
x = 1.5
[[a.b]]
x = { p = 1, q.r = [1,
  2,
  "]# = " ] }
"y z".k = """
x = 1
escaped \\""" " ""
"""
\'l.t\' = \'\'\'
[no]\'\'\'
[a.b.c]
when = 1979-05-27 07:32:00
[[a.b.d]]
e = -1e10
'''


def paths(data: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Every key path of parsed TOML."""
    below: list[tuple[str | int, Any]] = []
    if isinstance(data, dict):
        below = list(data.items())
    elif isinstance(data, list):
        below = list(enumerate(data))
    found = {path} if path else set()
    return found.union(*(paths(value, (*path, key)) for key, value in below))


def toml(value: Any) -> str:
    """A value as TOML with each element of a list on a line of its own."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(toml, value)) + "\n]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """A basic string."""
    return (
        '"'
        + "".join(f"\\U{ord(each):08x}" if each in '"\\' or not each.isprintable() else each for each in text)
        + '"'
    )


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.integers(0, 99) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


class LinesTests(SynchronousTestCase):
    """L{lines_of_keys}."""

    def test_every_kind_of_key(self) -> None:
        """Tables, arrays of tables, dotted and quoted keys, inline tables and arrays all have their line."""
        lines = lines_of_keys(DOCUMENT)
        self.assertEqual(set(lines), paths(tomllib.loads(DOCUMENT)))
        expected: dict[KeyPath, int] = {
            ("domain",): 2,
            ("a", "b", 0, "x"): 5,
            ("a", "b", 1): 6,
            ("a", "b", 1, "x", "q", "r", 1): 8,
            ("a", "b", 1, "x", "q", "r", 2): 9,
            ("a", "b", 1, "y z", "k"): 10,
            ("a", "b", 1, "l.t"): 14,
            ("a", "b", 1, "c", "when"): 17,
            ("a", "b", 1, "d", 0, "e"): 19,
        }
        self.assertEqual({path: lines[path] for path in expected}, expected)

    def test_windows_line_ends(self) -> None:
        """A carriage return before the line end changes nothing."""
        self.assertEqual(lines_of_keys(DOCUMENT.replace("\n", "\r\n")), lines_of_keys(DOCUMENT))

    @settings(max_examples=150, deadline=None)
    @given(st.dictionaries(TEXT, VALUES, max_size=4))
    def test_same_keys_as_the_parser(self, data: dict[str, Any]) -> None:
        """Whatever the values hold, the keys are those that tomllib finds, and lines never go back."""
        text = "".join(f"{quoted(key)} = {toml(value)}\n" for key, value in data.items())
        lines = lines_of_keys(text)
        self.assertEqual(set(lines), paths(tomllib.loads(text)))
        self.assertEqual(list(lines.values()), sorted(lines.values()))
