"""Tests of what commands print."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.output import count_of, flat, print_rows, shown

PRINT_TABLE = "from appproxy.cli.output import print_rows; print_rows([{'id': 'a'}], 'table', '')"


def on_terminal(no_color: str | None) -> str:
    """What a table looks like on a terminal."""
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    if no_color is not None:
        environment["NO_COLOR"] = no_color
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-c", PRINT_TABLE]
        subprocess.run(command, stdout=theirs, env=environment, check=True, timeout=60)
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


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
            (0.0007696151733398438, "0.0008"),
            (85.0, "85"),
            (["a", "b"], "a, b"),
            ({"claim": "mail"}, "claim mail"),
            ("a\x07\n", "a\\x07\\x0a"),
            ([], ""),
        ]
        for value, expected in cases:
            self.assertEqual(shown(value), expected)

    def test_no_color(self) -> None:
        """With NO_COLOR not even a terminal gets an escape sequence; without it, it does."""
        for value, coloured in (("1", False), (None, True)):
            self.assertEqual("\x1b" in on_terminal(value), coloured)

    def test_flat(self) -> None:
        """Tables become dotted names."""
        self.assertEqual(list(flat({"a": {"b": 1, "c": {}}, "d": 2})), [("a.b", 1), ("a.c", {}), ("d", 2)])

    def test_count(self) -> None:
        """One is no plural."""
        self.assertEqual((count_of(1, "change"), count_of(0, "change")), ("1 change", "0 changes"))
