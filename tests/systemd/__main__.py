"""
C{python -m tests.systemd [script] [package] [--wheels FOLDER]}: install, set up, run, under a real systemd.

Needs root on Debian, a package index, debootstrap and systemd-nspawn; takes some minutes. Prints each
promise and whether it holds; the exit code is 1 if one does not, 2 where it cannot run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.active_directory.packages import APPLICATION, CONTROLLER, missing_packages
from tests.integration.support.case import ROOT
from tests.packaging.support import copy_of_sources
from tests.systemd.daemons import Daemons
from tests.systemd.kerberos import try_kerberos
from tests.systemd.machine import FOLDER, Machine, base, copy_tree
from tests.systemd.package import Package
from tests.systemd.promises import Verdicts
from tests.systemd.relay import PORTS as RELAY_PORTS
from tests.systemd.relay import OwnRelay, RelayLeft, RelayPackage, RelaySetUp, RelaySite
from tests.systemd.running import Running
from tests.systemd.script import Script
from tests.systemd.serving import Serving
from tests.systemd.setting_up import SetUp
from tests.systemd.site import PORTS, Media, Site, prepare

NEEDED: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "dpkg-deb": "dpkg",
    "lintian": "lintian",
    "krb5-config": "libkrb5-dev",
    **CONTROLLER,
    **APPLICATION,
}
WAYS: Final = ("script", "package")
QUICK: Final = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip"}
"""For dpkg-deb: what is packed for one test need not be small."""

PYTHON: Final = "/usr/bin/python3"
"""Debian's own: wheels for it run in the machine."""


def tell(text: str) -> None:
    """To whoever waits."""
    print(text, flush=True)


def obstacle() -> str:
    """Why it cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "run it as root: it boots a machine of its own"
    missing = missing_packages(NEEDED)
    return f"not installed: {' '.join(missing)} (apt-get install ...)" if missing else ""


def build_wheels(folder: Path) -> Path:
    """The project's wheel, compiled where that is possible, and all that it and the demo need."""
    tell("building wheels, which is compiling for some minutes")
    sources = copy_of_sources(folder)
    subprocess.run((PYTHON, "-m", "venv", folder / "venv"), check=True)
    pip = (folder / "venv" / "bin" / "pip", "--quiet", "--disable-pip-version-check")
    wheels = folder / "wheels"
    subprocess.run((*pip, "wheel", f"--wheel-dir={wheels}", f"{sources}[demo,kerberos]"), check=True)
    return wheels


def build_packages(folder: Path, wheels: Path) -> tuple[Path, Path]:
    """Two Debian packages of the same content; the second one has the higher revision."""
    tell("building the Debian package")
    (wheel,) = wheels.glob("appproxy-*.whl")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    environment = {**os.environ, **offline, **QUICK, "REVISION": "1", "OUTPUT": str(folder)}
    command = ("sh", str(ROOT / "etc" / "deb"), str(wheel))
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    (package,) = folder.glob("*.deb")
    return package, newer(package)


def newer(package: Path) -> Path:
    """The same package with revision 2, without building it all again."""
    other = package.with_name(package.name.replace("-1_", "-2_"))
    tree = package.with_suffix("")
    subprocess.run(("dpkg-deb", "--raw-extract", package, tree), check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: .*)-1$", r"\1-2", control.read_text()))
    build = ("dpkg-deb", "--root-owner-group", "--build", tree, other)
    subprocess.run(build, env={**os.environ, **QUICK}, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return other


def try_one(way: str, tree: Path, media: Media, verdicts: Verdicts) -> None:
    """Everything, on machines of its own."""
    machine = Machine(tree)
    try:
        site = Site(machine, media)
        machine.boot()
        verdicts.try_all(f"{way}: set up", SetUp(site, install_of(way, site)))
        if verdicts.broken:
            return
        verdicts.try_all(f"{way}: serving", Serving(site))
        verdicts.try_all(f"{way}: daemons", Daemons(machine, PORTS))
        verdicts.try_all(f"{way}: running", Running(site))
        if way == "package":  # The script installs where there is no compiler, and so without Kerberos.
            try_kerberos(site, verdicts)
        try_relay(way, tree, site, verdicts)
        verdicts.try_all(f"{way}: later", Package(site) if way == "package" else Script(site))
    finally:
        machine.remove()


def try_relay(way: str, tree: Path, site: Site, verdicts: Verdicts) -> None:
    """The same site with the relay on another machine, and without it again."""
    machine = Machine(tree, "relay")
    try:
        machine.boot(enter=False)
        both = RelaySite(site, machine)
        broken = len(verdicts.broken)
        verdicts.try_all(f"{way}: relay: set up", RelaySetUp(both, install_of(way, both.own)))
        if len(verdicts.broken) == broken:
            verdicts.try_all(f"{way}: relay: serving", Serving(site))
            verdicts.try_all(f"{way}: relay: daemon", Daemons(machine, RELAY_PORTS))
            verdicts.try_all(f"{way}: relay: running", OwnRelay(both))
            if way == "package":
                verdicts.try_all(f"{way}: relay: later", RelayPackage(both))
        verdicts.try_all(f"{way}: relay: left", RelayLeft(both, way))
    finally:
        machine.remove()


def install_of(way: str, site: Site) -> Callable[[], str]:
    """What installs in this way."""
    return site.install_with_script if way == "script" else site.install_package


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
