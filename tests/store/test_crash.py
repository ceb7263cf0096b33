"""
Tests of L{appproxy.store.database} against a process that dies.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.store.database import Database
from appproxy.store.istore import StoreInUse

_ACKNOWLEDGED = 40
"""Revisions to wait for before the kill."""

_ROUNDS = 3


class CrashTests(SynchronousTestCase):
    """A writer is killed in the middle of its work."""

    def setUp(self) -> None:
        """A path for a store."""
        self.path = str(Path(self.mktemp()).absolute())
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)

    def kill_a_writer(self) -> int:
        """
        @return: the last revision that a writer was promised before kill -9.
        """
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.store.crash_writer", self.path],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        promised = 0
        for _ in range(_ACKNOWLEDGED):
            promised = int(writer.stdout.readline())
        self.assertRaises(StoreInUse, Database, self.path)
        writer.kill()
        lines = writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        writer.stdout.close()
        whole = [line for line in lines if line.endswith(b"\n")]
        return int(whole[-1]) if whole else promised

    def test_killed(self) -> None:
        """After kill -9 every promised change is there, none is half there, and the file is sound."""
        for _ in range(_ROUNDS):
            promised = self.kill_a_writer()
            database = Database(self.path)
            left, right = database.get("/pair/left"), database.get("/pair/right")
            assert left is not None and right is not None
            self.assertGreaterEqual(left.revision, promised)
            self.assertEqual(left.revision, right.revision)
            self.assertEqual(right.value, left.value * 1000)
            self.assertEqual(database.listing("/").revision, left.revision)
            database.close()
            with sqlite3.connect(self.path) as connection:
                self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            connection.close()
