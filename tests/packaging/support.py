"""
What the tests of packages share.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (
    "setup.cfg",
    "setup.py",
    "compiled.ini",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "appproxy",
    "twisted",
    "plugins",
    "etc",
)

BUILD_SECONDS: Final = 600


def run(
    *command: str | Path, cwd: Path, compiled: bool = False, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command that must succeed; its output."""
    ours = ("PYTHONPATH", "CI", "APPPROXY_INTERPRETED")
    full = {name: value for name, value in os.environ.items() if name not in ours}
    full |= {"APPPROXY_COMPILE": "1" if compiled else "0", **(environment or {})}
    done = subprocess.run(
        command, cwd=cwd, env=full, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def copy_of_sources(folder: Path) -> Path:
    """A copy of what a package is built of: a build leaves things behind."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "dropin.cache")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, sources / name, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, sources / name)
    return sources


def build_wheel(sources: Path, folder: Path, *, compiled: bool) -> Path:
    """Build the wheel, into a folder."""
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index")
    run(*build, "--no-build-isolation", "--wheel-dir", ".", str(sources), cwd=folder, compiled=compiled)
    (wheel,) = folder.glob("appproxy-*.whl")
    return wheel


def run_tool(name: str, package: str, *arguments: str | Path) -> str:
    """
    Run a command of the system's; it must find nothing wrong.

    @param package: of Debian, which brings it.
    @return: all that it says.
    @raise SkipTest: if it is not installed.
    """
    program = shutil.which(name)
    if program is None:
        raise SkipTest(f"not installed: {name} (Debian: {package})")
    command = (program, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
