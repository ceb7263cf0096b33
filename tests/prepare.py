"""
C{python -m tests.prepare}: what the tests need of this machine.

As root on Debian the missing packages are installed; otherwise they are named,
and the tests that need them are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Final

PACKAGES: Final[Mapping[str, str]] = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "node": "nodejs",
    "npm": "npm",
    "curl": "curl",
    "openssl": "openssl",
    "nginx": "nginx-light",
    "apache2": "apache2-bin",
    "wrk": "wrk",
    "haproxy": "haproxy",
    "tinyproxy": "tinyproxy",
    "systemd-analyze": "systemd",
    "promtool": "prometheus",
    "faketime": "faketime",
    "samba": "samba-ad-dc",
    "samba-tool": "samba-common-bin",
    "/usr/share/samba/setup": "samba-ad-provision",
    "/usr/lib/python3/dist-packages/samba": "python3-samba",
    "/usr/lib/apache2/modules/mod_auth_gssapi.so": "libapache2-mod-auth-gssapi",
    "kinit": "krb5-user",
    "krb5-config": "libkrb5-dev",
    "gcc": "gcc",
}
"""The command that a test runs, or a file that it needs, and the Debian package that brings it."""

Which = Callable[[str], str | None]


def find_command(name: str) -> str | None:
    """Where a command or a file is; servers are where only root looks for them."""
    if name.startswith("/"):
        return name if os.path.exists(name) else None
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def missing_packages(which: Which = find_command) -> list[str]:
    """Packages of which the command is not there."""
    return [package for command, package in PACKAGES.items() if which(command) is None]


def install_commands(packages: list[str]) -> list[list[str]]:
    """What installs them."""
    get = ["apt-get", "--quiet", "--quiet"]
    return [[*get, "update"], [*get, "install", "--yes", "--no-install-recommends", *packages]]


def prepare() -> None:
    """Install what is missing, or name it."""
    packages = missing_packages()
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        tell(f"missing: {' '.join(packages)}; tests that need them are skipped")
        return
    tell(f"installing {' '.join(packages)}")
    # RUNLEVEL=1: a server that is installed does not start to serve.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in install_commands(packages):
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            tell(f"{' '.join(command[:4])} failed; tests that need {' '.join(packages)} are skipped")
            return


def tell(message: str) -> None:
    """A message beside the tests' own output."""
    print(f"tests.prepare: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    prepare()
