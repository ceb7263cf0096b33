"""
C{python -m tests.prepare}: what the tests need of this machine.

As root on Debian the missing packages are installed; otherwise they are named,
and the tests that need them are skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from appproxy.demo.active_directory.packages import (
    APPLICATION,
    CONTROLLER,
    LIBRARY,
    can_install,
    find_command,
    install,
    missing_packages,
)

__all__ = ["PACKAGES", "find_command"]

PACKAGES: Final[Mapping[str, str]] = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "node": "nodejs",
    "npm": "npm",
    "curl": "curl",
    "openssl": "openssl",
    "nginx": "nginx-light",
    "wrk": "wrk",
    "haproxy": "haproxy",
    "tinyproxy": "tinyproxy",
    "systemd-analyze": "systemd",
    "promtool": "prometheus",
    "faketime": "faketime",
    "kinit": "krb5-user",
    "ldbmodify": "ldb-tools",
    **CONTROLLER,
    **APPLICATION,
    **LIBRARY,
}
"""The command that a test runs, or a file that it needs, and the Debian package that brings it."""


def prepare() -> None:
    """Install what is missing, or name it."""
    packages = missing_packages(PACKAGES)
    if not packages:
        return
    if not can_install():
        tell(f"missing: {' '.join(packages)}; tests that need them are skipped")
        return
    tell(f"installing {' '.join(packages)}")
    if failed := install(packages):
        tell(f"{failed} failed; tests that need {' '.join(packages)} are skipped")


def tell(message: str) -> None:
    """A message beside the tests' own output."""
    print(f"tests.prepare: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    prepare()
