"""
C{python -m tests.systemd [script] [package] [--wheels FOLDER]}: install, set up, run, under a real systemd.

Needs root on Debian, a package index, debootstrap and systemd-nspawn; takes some minutes. Prints each
promise and whether it holds; the exit code is 1 if one does not, 2 where it cannot run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.integration.support.case import ROOT
from tests.packaging.support import copy_of_sources
from tests.systemd.machine import FOLDER, Machine, base, copy_tree
from tests.systemd.package import Package
from tests.systemd.promises import Verdicts
from tests.systemd.running import Running
from tests.systemd.setting_up import SetUp
from tests.systemd.site import Media, Site, prepare

NEEDED: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "dpkg-deb": "dpkg",
}
WAYS: Final = ("script", "package")
PYTHON: Final = "/usr/bin/python3"
"""Debian's own: wheels for it run in the machine."""


def tell(text: str) -> None:
    """To whoever waits."""
    print(text, flush=True)


def obstacle() -> str:
    """Why it cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "run it as root: it boots a machine of its own"
    missing = [package for command, package in NEEDED.items() if shutil.which(command) is None]
    return f"not installed: {' '.join(missing)} (apt-get install ...)" if missing else ""


def build_wheels(folder: Path) -> Path:
    """The project's wheel, compiled where that is possible, and all that it and the demo need."""
    tell("building wheels")
    sources = copy_of_sources(folder)
    subprocess.run((PYTHON, "-m", "venv", folder / "venv"), check=True)
    pip = (folder / "venv" / "bin" / "pip", "--quiet", "--disable-pip-version-check")
    wheels = folder / "wheels"
    subprocess.run((*pip, "wheel", f"--wheel-dir={wheels}", f"{sources}[demo]"), check=True)
    return wheels


def build_packages(folder: Path, wheels: Path) -> tuple[Path, ...]:
    """Two Debian packages of the same content; the second one has the higher revision."""
    tell("building the Debian package, twice")
    (wheel,) = wheels.glob("appproxy-*.whl")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    for revision in ("1", "2"):
        environment = {**os.environ, **offline, "REVISION": revision, "OUTPUT": str(folder)}
        command = ("sh", str(ROOT / "etc" / "deb"), str(wheel))
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return tuple(sorted(folder.glob("*.deb")))


def try_one(way: str, tree: Path, media: Media, verdicts: Verdicts) -> None:
    """Everything, in a machine of its own."""
    machine = Machine(tree)
    try:
        site = Site(machine, media)
        machine.boot()
        install = site.install_with_script if way == "script" else site.install_package
        verdicts.try_all(f"{way}: set up", SetUp(site, install))
        if verdicts.broken:
            return
        verdicts.try_all(f"{way}: running", Running(site))
        if way == "package":
            verdicts.try_all(f"{way}: later", Package(site))
    finally:
        machine.remove()


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all promises; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.systemd")
    parser.add_argument("ways", nargs="*", metavar="WAY", help="script, package; both unless given")
    parser.add_argument("--wheels", type=Path, help="a folder with wheels that were built before")
    chosen = parser.parse_args(arguments)
    why = obstacle()
    if why:
        tell(f"cannot run: {why}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ways = chosen.ways or WAYS
    tell(f"making a Debian in {FOLDER}, unless it is there")
    debian = base()
    verdicts = Verdicts(tell)
    with tempfile.TemporaryDirectory(prefix="media-", dir=FOLDER) as temporary:
        folder = Path(temporary)
        wheels = chosen.wheels or build_wheels(folder)
        packages = build_packages(folder, wheels.absolute()) if "package" in ways else ()
        media, tree = Media(wheels, packages), folder / "tree"
        copy_tree(debian, tree)
        prepare(tree, media)
        for way in ways:
            try_one(way, tree, media, verdicts)
    tell(f"\n{verdicts.held} promises held, {len(verdicts.broken)} did not")
    return 1 if verdicts.broken else 0


if __name__ == "__main__":
    sys.exit(main())
