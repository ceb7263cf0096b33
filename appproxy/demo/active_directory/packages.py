"""
What all of this needs of Debian: C{python -m appproxy.demo.active_directory.packages} installs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from typing import Final

MODULE_FOLDER: Final = "/usr/lib/apache2/modules"
"""Apache's modules."""

CONTROLLER: Final[Mapping[str, str]] = {
    "samba": "samba-ad-dc",
    "samba-tool": "samba-common-bin",
    "/usr/share/samba/setup": "samba-ad-provision",
    "/usr/lib/python3/dist-packages/samba": "python3-samba",
}
"""A command or a file, and the package that brings it."""

APPLICATION: Final[Mapping[str, str]] = {
    "apache2": "apache2-bin",
    f"{MODULE_FOLDER}/mod_auth_gssapi.so": "libapache2-mod-auth-gssapi",
}

LIBRARY: Final[Mapping[str, str]] = {
    "krb5-config": "libkrb5-dev",
    "gcc": "gcc",
    f"{sysconfig.get_path('include')}/Python.h": "python3-dev",
}
"""To build the Python package gssapi."""

Which = Callable[[str], str | None]


def find_command(name: str) -> str | None:
    """Where a command or a file is; servers are where only root looks for them."""
    if name.startswith("/"):
        return name if os.path.exists(name) else None
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def missing_packages(packages: Mapping[str, str], which: Which = find_command) -> list[str]:
    """Packages of which the command or file is not there."""
    return [package for command, package in packages.items() if which(command) is None]


def can_install() -> bool:
    """Whether this is root, on a Debian."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_commands(packages: Iterable[str]) -> list[list[str]]:
    """What installs them."""
    get = ["apt-get", "--quiet", "--quiet"]
    return [[*get, "update"], [*get, "install", "--yes", "--no-install-recommends", *packages]]


def install(packages: list[str]) -> str:
    """
    Install them.

    @return: the command that failed; empty if none did.
    """
    # RUNLEVEL=1: a server that is installed does not start to serve.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in install_commands(packages):
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            return " ".join(command[:4])
    return ""


def main() -> int:
    """Install what is missing, or say what it is; the exit code."""
    packages = missing_packages({**CONTROLLER, **APPLICATION, **LIBRARY})
    if os.geteuid() != 0:
        _tell("this demo needs root: a domain controller's ports are below 1024, and cannot be chosen")
        return 1
    if not packages:
        return 0
    if not can_install():
        _tell(f"missing, by Debian's names: {' '.join(packages)}")
        return 1
    _tell(f"Installing what is missing, for half a minute or so: {' '.join(packages)}")
    if failed := install(packages):
        _tell(f"{failed} failed; install these yourself: {' '.join(packages)}")
        return 1
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
