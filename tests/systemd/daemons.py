"""
What must hold of every daemon that systemd runs, edge, relay or connector.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from tests.systemd.machine import Machine
from tests.systemd.promises import equal

MAXIMUM_EXPOSURE: Final = 1.5
"""What C{systemd-analyze security} may count of a unit that runs, from 0 (nothing) to 10."""

EXPOSURE: Final = re.compile(r"Overall exposure level for \S+: ([0-9.]+) ")


class Daemons:
    """
    Units that run, each as the user of its name, on one machine; nothing went wrong there yet.

    @param units: and the ports of each that are its socket units'.
    """

    def __init__(self, machine: Machine, units: Mapping[str, Sequence[int]]) -> None:
        self._machine = machine
        self._units = units

    def runs_unprivileged(self) -> None:
        """Each daemon is a user of its own, without a capability or a way to one, behind a filter."""
        for unit in self._units:
            status = self._machine.shell(f"cat /proc/{self._machine.main_pid(unit)}/status")
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            equal(fields["Uid"].split(), [self._user(unit)] * 4, unit)
            capabilities = {fields[f"Cap{each}"].strip("0") for each in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
            equal(capabilities, {""}, f"capabilities of {unit}")
            equal((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"), unit)

    def ports_are_systemds(self) -> None:
        """Public ports are bound by systemd, which alone may, on IPv4 and IPv6, and used by the daemon."""
        listening = self._machine.run("ss", "--listening", "--tcp", "--numeric", "--processes").splitlines()
        for unit, ports in self._units.items():
            pid = self._machine.main_pid(unit)
            for port in ports:
                lines = [line for line in listening if f":{port} " in line]
                equal(len(lines), 2, f"listeners on {port}")
                for line in lines:
                    assert '"systemd",pid=1,' in line, line
                    assert f"pid={pid}," in line, line

    def is_hardened(self) -> None:
        """systemd-analyze security counts little of the units that run."""
        for unit in self._units:
            said = self._machine.run("systemd-analyze", "security", "--no-pager", unit)
            (exposure,) = EXPOSURE.findall(said)
            assert float(exposure) <= MAXIMUM_EXPOSURE, f"{unit}: {exposure}"

    def sees_little(self) -> None:
        """A daemon can write to nothing but its own folders, and sees neither homes nor other processes."""
        for unit in self._units:
            view = ("nsenter", f"--target={self._machine.main_pid(unit)}", "--mount", "--")
            folders = "/etc /etc/appproxy /opt/appproxy /usr /var/lib /var/lib/appproxy /root /home"
            writable = "for each in $0; do touch $each/x 2>/dev/null && echo $each; done; true"
            equal(self._machine.run(*view, "sh", "-c", writable, folders), "", f"{unit} may write to")
            number = self._user(unit)
            drop = ("setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups")
            processes = self._machine.run(*view, *drop, "sh", "-c", "ls -d /proc/[0-9]*").split()
            assert processes, "what looks sees itself"
            assert "/proc/1" not in processes, processes
            equal(self._machine.run(*view, "sh", "-c", "ls -A /root 2>/dev/null || true"), "", "root's home")

    def keeps_its_state_to_itself(self) -> None:
        """What a daemon keeps is its user's, and nobody else reads it."""
        for unit in self._units:
            folder = f"/var/lib/appproxy/{unit.removeprefix('appproxy-')}"
            found = self._machine.shell(f"find {folder} -printf '%y %m %u %g\\n' | sort --unique")
            equal(set(found.splitlines()), {f"d 700 {unit} {unit}", f"f 600 {unit} {unit}"}, folder)

    def writes_json(self) -> None:
        """What the daemons write to the journal is one JSON object a line, and no complaint."""
        for unit in self._units:
            lines = self._machine.journal(unit, f"_UID={self._user(unit)}")
            assert lines, f"{unit} wrote nothing"
            events = [json.loads(line) for line in lines]
            assert any(event["event"] == "ready" for event in events), unit
            equal([event for event in events if event["level"] != "info"], [], f"complaints of {unit}")
            equal([event for event in events if "dropin.cache" in event["message"]], [], unit)

    def _user(self, unit: str) -> str:
        return self._machine.run("id", "--user", unit).strip()
