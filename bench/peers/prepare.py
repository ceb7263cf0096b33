"""
Programs of Debian that the peers are made of.

As root on Debian what is missing is installed; otherwise it is named.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.prepare import install
from bench.processes import BenchError

PACKAGES: Final[Mapping[str, str]] = {
    "apache2": "apache2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
}
"""Package of each program."""

APACHE_MODULES: Final = Path("/usr/lib/apache2/modules")
OPENIDC: Final = "libapache2-mod-auth-openidc"

_SYSTEM_PATH: Final = "/usr/sbin:/sbin"
"""Daemons are there, and not everybody's C{PATH} has it."""


def find_program(name: str) -> Path:
    """
    Where a program is; always an absolute path, sshd asks for that.

    @raise BenchError: if it is nowhere; with the package that brings it.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")
    if found is None:
        raise BenchError(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    return Path(found)


def missing_packages() -> list[str]:
    """Packages that L{prepare} would install."""
    missing = []
    for program, package in PACKAGES.items():
        try:
            find_program(program)
        except BenchError:
            missing.append(package)
    if not (APACHE_MODULES / "mod_auth_openidc.so").exists():
        missing.append(OPENIDC)
    return sorted(set(missing))


def prepare() -> None:
    """
    Install what is missing.

    @raise BenchError: if that cannot be done; with what is missing.
    """
    install(missing_packages())
