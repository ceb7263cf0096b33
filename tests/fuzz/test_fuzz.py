"""Tests of L{tests.fuzz}: each target for a moment, what was found before, and that flaws are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import targets
from tests.fuzz.support import Broken, Browser, hold, same

ROOT: Final = Path(__file__).parents[2]

RUNS: Final = 300
"""Inputs for each target here, seeds among them, of which there are fewer: some seconds in all."""

DEADLINE: Final = 900.0
"""Seconds after which a run hangs; it takes a few, and more where much else runs."""

_FINDER: Final = """
import sys
from pathlib import Path
import atheris
from tests.fuzz.run import Length, fuzz
from tests.fuzz.targets import Target

def run(data):
    if data[:2] == b"ab":
        raise ValueError("broken")

atheris.instrument_func(run)
for path in fuzz(Target("finder", run, (SEED,), (b"ab",)), Path(sys.argv[1]), Length(runs=20000), 1):
    print(path.read_bytes()[:2])
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of the same form of the package; hashes of texts are the same each time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=DEADLINE,
        check=False,
    )


class TargetTests(SynchronousTestCase):
    """What the fuzzer runs."""

    def test_seeds(self) -> None:
        """Every promise holds for what fuzzing begins with, and for what once broke one."""
        for name in targets.NAMES:
            target = targets.load(name)
            self.assertTrue(target.seeds, name)
            for data in target.seeds:
                try:
                    target.run(data)
                except Exception as error:
                    raise AssertionError(f"{name}: {data!r}") from error

    def test_found(self) -> None:
        """What was found is kept under the name of a target."""
        folders = {each.name for each in targets.FOUND.iterdir() if each.is_dir()}
        self.assertTrue(folders)
        self.assertLessEqual(folders, set(targets.NAMES))
        for name in folders:
            self.assertLessEqual(set(targets.found(name)), set(targets.load(name).seeds))

    def test_for_a_moment(self) -> None:
        """Each target bears some hundred changed inputs, the same ones each time."""
        folder = os.path.abspath(self.mktemp())
        ran = python("-m", "tests.fuzz", "--runs", str(RUNS), "--seed", "1", "--folder", folder)
        self.assertEqual(ran.returncode, 0, ran.stderr[-4000:])
        for name in targets.NAMES:
            self.assertIn(f"== {name} (", ran.stderr)
        self.assertEqual(ran.stderr.count(f"stat::number_of_executed_units: {RUNS}"), len(targets.NAMES))


class RunTests(SynchronousTestCase):
    """L{tests.fuzz.run} and the command."""

    def find(self, seed: bytes) -> subprocess.CompletedProcess[str]:
        """Run a target that does not bear what begins with C{ab}."""
        return python("-c", _FINDER.replace("SEED", repr(seed)), os.path.abspath(self.mktemp()))

    def test_broken_seed(self) -> None:
        """A seed that breaks a promise is found, and kept."""
        self.assertEqual(self.find(b"abc").stdout.splitlines()[-1:], ["b'ab'"])

    def test_broken_input(self) -> None:
        """So is an input that the fuzzer makes."""
        self.assertEqual(self.find(b"xyz").stdout.splitlines()[-1:], ["b'ab'"])

    def test_unknown_name(self) -> None:
        """A name that is no target's is refused, and the names are told."""
        ran = python("-m", "tests.fuzz", "nothing")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("requests", ran.stderr)


class BrowserTests(SynchronousTestCase):
    """The browser that targets ask."""

    def test_references(self) -> None:
        """It reads references as the URL standard says."""
        origin = "https://a.example"
        for reference, expected in (
            ("/x/../y?z#f", (origin, "/y")),
            ("/x/%2E%2e/./y", (origin, "/y")),
            ("x", (origin, "/x")),
            ("//b.example/x", ("https://b.example", "/x")),
            ("/\\b.example", ("https://b.example", "/")),
            ("/\t/b.example", ("https://b.example", "/")),
            (" \\\\b.example\\x", ("https://b.example", "/x")),
            ("HTTP:/b.example", ("http://b.example", "/")),
            ("https:x", (origin, "/x")),
            ("https:////b.example/x", ("https://b.example", "/x")),
            ("/.//b.example", (origin, "//b.example")),
            ("javascript:x", ("javascript:", "x")),
        ):
            browser = Browser(origin, reference)
            self.assertEqual((browser.origin, browser.path), expected, reference)

    def test_targets_can_fail(self) -> None:
        """A promise that does not hold is told."""
        self.assertRaises(Broken, hold, False, "x")
        self.assertRaises(Broken, same, 1, 2, "x")
