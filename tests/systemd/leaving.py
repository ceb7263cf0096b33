"""
The end of an installation: what takes it away, and what must not be left.
"""

from __future__ import annotations

import re
from typing import Final

from tests.integration.support.case import ROOT
from tests.systemd.machine import Machine
from tests.systemd.promises import equal

UNITS: Final = "systemctl list-unit-files --no-legend 'appproxy*' || true"
MANUAL: Final = ROOT / "docs" / "operations.md"
REMOVE: Final = re.compile(r"^\*\*Remove:\*\*\n\n((?:    .+\n)+)", re.MULTILINE)
PORTS: Final = (443, 80, 9643, 9644, 9645)
"""Of the daemons."""

ELSEWHERE: Final = ("/srv/*", "/proc/*", "/root/*", "/var/log/journal/*")
"""What the test brought, and what the system keeps of anything that ran."""


def purge(machine: Machine) -> None:
    """The Debian package with all that it has kept; then nothing of it is left."""
    machine.run("dpkg", "--purge", "appproxy")
    equal(machine.attempt("dpkg-query", "--show", "appproxy").returncode, 1)
    _nothing_is_left(machine)


def remove(machine: Machine) -> None:
    """What C{etc/install} brought, by the commands of the manual; then nothing of it is left."""
    (commands,) = REMOVE.findall(MANUAL.read_text("utf-8"))
    machine.shell(commands)
    _nothing_is_left(machine)


def _nothing_is_left(machine: Machine) -> None:
    ports = " or ".join(f"sport = :{port}" for port in PORTS)
    equal(machine.run("ss", "-Hltn", ports), "", "listens")
    equal(machine.shell(UNITS), "", "units")
    elsewhere = " ".join(f"-not -path '{path}'" for path in ELSEWHERE)
    equal(machine.shell(f"find / -xdev -iname '*appproxy*' {elsewhere}"), "", "files")
    equal(machine.shell("grep appproxy /etc/passwd /etc/group || true"), "", "users")
