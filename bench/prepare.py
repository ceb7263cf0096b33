"""
Commands that the measurements need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from bench.processes import BenchError
from bench.rounds import tell

PACKAGES: Final[Mapping[str, str]] = {"wrk": "wrk", "nginx": "nginx-light", "curl": "curl"}
"""The command that is run, and the Debian package that brings it."""

Which = Callable[[str], str | None]


def missing_packages(which: Which = shutil.which) -> list[str]:
    """Packages of which the command is not there."""
    return [package for command, package in PACKAGES.items() if which(command) is None]


def prepare() -> None:
    """
    As root on Debian, install what is missing.

    @raise BenchError: elsewhere, or if it does not work: what to install.
    """
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    install(missing_packages())


def install(packages: list[str]) -> None:
    """
    As root on Debian, install packages.

    @raise BenchError: elsewhere, or if it does not work: what to install.
    """
    if not packages:
        return
    wanted = f"not installed: {' '.join(packages)}. Debian: apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BenchError(wanted)
    tell(f"installing {' '.join(packages)}")
    # RUNLEVEL=1: a server that is installed does not start to serve.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet", "--quiet", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise BenchError(wanted)
