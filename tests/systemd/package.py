"""
What must hold of the Debian package besides: upgrade, remove, purge.
"""

from __future__ import annotations

import subprocess

from tests.integration.support.processes import answers
from tests.systemd.leaving import UNITS, purge
from tests.systemd.promises import equal
from tests.systemd.site import DAEMONS, EDGE, EDGE_FILE, MEDIA, Site


class Package:
    """The package's later life, on a machine where it is set up and runs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machine = site.machine

    def is_sound(self) -> None:
        """lintian finds neither error nor warning in it but those that its overrides explain."""
        (package, _) = self._site.media.packages
        command = ("lintian", "--allow-root", "--fail-on", "error,warning", str(package))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        equal((done.returncode, done.stdout), (0, ""), done.stderr)

    def owns_its_files(self) -> None:
        """All files of the package are root's, writable by root alone, and as they were packed."""
        files = "dpkg --listfiles appproxy | xargs -d '\\n' stat --format='%A %U %G %n'"
        lines = self._machine.shell(files).splitlines()
        assert len(lines) > 1000, len(lines)
        wrong = [
            line
            for line in lines
            if line.split()[1:3] != ["root", "root"]
            or (line[0] != "l" and (line[5] == "w" or line[8] == "w"))
        ]
        equal(wrong, [], "files")
        equal(self._machine.run("dpkg", "--verify", "appproxy"), "", "changed files")

    def upgrades(self) -> None:
        """An upgrade restarts what runs; settings, state and sessions stay."""
        before = {unit: self._machine.main_pid(unit) for unit in DAEMONS}
        settings = self._machine.run("cat", EDGE_FILE)
        self._site.install_package(1)
        version = self._machine.run("dpkg-query", "--show", "--showformat=${Version}", "appproxy")
        equal(version, self._site.media.packages[1].name.split("_")[1], "version")
        for unit in DAEMONS:
            equal(self._machine.state(unit), "active", unit)
            assert self._machine.main_pid(unit) != before[unit], f"{unit} was not restarted"
        equal(self._machine.run("cat", EDGE_FILE), settings, "edge.toml")
        self._site.wait_until_it_serves()

    def is_removed(self) -> None:
        """Removed: nothing runs, listens, or is left of program and units; settings and state stay."""
        self._machine.run("dpkg", "--remove", "appproxy")
        equal(self._machine.shell(UNITS), "", "units")
        equal((answers(443), answers(80)), (False, False), "listens")
        equal(self._machine.shell("ls -d /opt/appproxy /usr/bin/appproxy 2>/dev/null || true"), "", "program")
        self._machine.run("test", "-s", EDGE_FILE)
        self._machine.run("test", "-s", "/var/lib/appproxy/edge/store.sqlite3")
        equal(self._machine.shell("systemctl is-system-running || true").strip(), "running", "the system")

    def refuses_a_mix(self) -> None:
        """Beside what etc/install left, whose units would win, it is refused, and says what to do."""
        unit = "/etc/systemd/system/appproxy-edge.service"
        self._machine.run("cp", f"{MEDIA}/etc/systemd/system/appproxy-edge.service", unit)
        package = f"{MEDIA}/{self._site.media.packages[1].name}"
        done = self._machine.attempt("dpkg", "--install", package)
        self._machine.run("rm", unit)
        assert done.returncode != 0, done.stdout
        assert "etc/install" in done.stderr, done.stderr

    def comes_back(self) -> None:
        """Installed again, it goes on where it was, once it is enabled."""
        self._site.install_package(1)
        equal(self._machine.state(EDGE), "inactive", EDGE)
        self._machine.run("systemctl", "enable", "--now", *DAEMONS)
        self._site.wait_until_it_serves()

    def is_purged(self) -> None:
        """Purged: settings, keys, store, logs and users are gone, and dpkg knows nothing of it."""
        purge(self._machine)
