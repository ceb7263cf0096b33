"""
The same tests on a compiled copy of the sources, in C{.test/compiled}.

All but those that test the checkout itself, and most of those with real servers, which are
about what surrounds the compiled modules. Objects are kept for the next time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.outcome import Outcome

ROOT: Final = Path(__file__).parents[1]

FOLDER: Final = ROOT / ".test" / "compiled"

KEPT: Final = frozenset({"build", ".mypy_cache"})
"""What the next build of the copy starts from."""

COPIED: Final = (
    "appproxy",
    "compiled.ini",
    "docs",
    "etc",
    "plugins",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "tests",
    "twisted",
)

ELSEWHERE: Final = frozenset({"bench", "integration", "packaging"})

DAEMONS: Final = ("tests.integration.test_installation", "tests.integration.test_streams")
"""Real daemons, compiled, after all."""


def build() -> Outcome:
    """Compile a copy; where there is no compiler, that is a test that was skipped."""
    copy_sources()
    why = obstacle()
    if why:
        print(f"not tested compiled: {why}", flush=True)
        return Outcome(skipped=1)
    print("compiling a copy in .test/compiled", flush=True)
    command = (sys.executable, "setup.py", "--quiet", "build_ext", "--inplace")
    environment = {**os.environ, "APPPROXY_COMPILE": "1"}
    built = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        print(built.stdout, built.stderr, "it cannot be compiled", sep="\n", flush=True)
        return Outcome(failed=1)
    return Outcome()


def copy_sources() -> None:
    """A fresh copy: nothing stays that was compiled from a module that is gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in FOLDER.iterdir():
        if each.is_dir() and each.name not in KEPT:
            shutil.rmtree(each)
        elif each.is_file():
            each.unlink()
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "dropin.cache", "node_modules")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, FOLDER / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, FOLDER / name)


def obstacle() -> str:
    """What setup.py has against compiling; empty if nothing."""
    ask = (sys.executable, "-c", "from setup import obstacle; print(obstacle())")
    return subprocess.run(ask, cwd=FOLDER, capture_output=True, text=True, check=True).stdout.strip()


def names() -> list[str]:
    """Of the packages to test."""
    folders = (path.parent.name for path in (FOLDER / "tests").glob("*/__init__.py"))
    return [*sorted(f"tests.{name}" for name in folders if name not in ELSEWHERE), *DAEMONS]


def test() -> Outcome:
    """Test what was built."""
    command = (sys.executable, "-m", "tests", "--compiled", *names())
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    outcome = None
    with subprocess.Popen(command, cwd=FOLDER, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            outcome = Outcome.of(line) or outcome
    # Whatever ended without such a line crashed.
    return outcome if outcome is not None else Outcome(failed=1)
