"""Tests of what commands print."""

from __future__ import annotations

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.output import count_of, flat, print_rows, shown


class OutputTests(SynchronousTestCase):
    """Tables and values."""

    def test_columns(self) -> None:
        """Off a terminal a table is plain aligned columns, whole however long."""
        rows = [{"id": "a", "external_url": "x" * 200}, {"id": "bcd", "external_url": ""}]
        with CliRunner().isolation() as (out, *_):
            print_rows(rows, "table", "none")
            printed = out.getvalue().decode()
        self.assertEqual(printed, f"ID   EXTERNAL URL\na    {'x' * 200}\nbcd\n")

    def test_shown(self) -> None:
        """Values are for people; control characters are made visible."""
        cases: list[tuple[object, str]] = [
            (None, ""),
            (True, "yes"),
            (7, "7"),
            (["a", "b"], "a, b"),
            ({"claim": "mail"}, "claim mail"),
            ("a\x07\n", "a\\x07\\x0a"),
            ([], ""),
        ]
        for value, expected in cases:
            self.assertEqual(shown(value), expected)

    def test_flat(self) -> None:
        """Tables become dotted names."""
        self.assertEqual(list(flat({"a": {"b": 1, "c": {}}, "d": 2})), [("a.b", 1), ("a.c", {}), ("d", 2)])

    def test_count(self) -> None:
        """One is no plural."""
        self.assertEqual((count_of(1, "change"), count_of(0, "change")), ("1 change", "0 changes"))
