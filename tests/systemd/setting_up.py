"""
What must hold of the way from nothing to daemons that run.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.systemd.promises import equal
from tests.systemd.site import DAEMONS, Site


class SetUp:
    """The documented commands, one after another."""

    def __init__(self, site: Site, install: Callable[[], str]) -> None:
        self._site = site
        self._install = install
        self._said = ""
        self._machine = site.machine

    def installs(self) -> None:
        """The installation goes through, makes three users, and neither starts nor enables anything."""
        self._said = self._install()
        for user in ("edge", "relay", "connector"):
            self._machine.run("id", f"appproxy-{user}")
        equal(
            self._machine.shell("systemctl list-units --plain --no-legend 'appproxy*'"), "", "units that run"
        )
        enabled = self._machine.shell("systemctl list-unit-files --no-legend 'appproxy*' | awk '{print $2}'")
        equal(set(enabled.split()), {"disabled"}, "units")

    def is_there(self) -> None:
        """The command runs, in compiled form if the wheel is compiled; modules are there as bytecode."""
        said = self._machine.run("appproxy", "version")
        compiled = "none-any" not in self._site.media.wheel.name
        assert f"form {'compiled' if compiled else 'interpreted'}" in said, said
        missing = self._machine.shell(
            "cd /opt/appproxy/lib/python3*/site-packages/appproxy\n"
            "for file in config/*.py; do set -- config/__pycache__/$(basename $file .py).*.pyc; "
            "test -e $1 || echo $file; done"
        )
        equal(missing, "", "modules that each start would compile anew")

    def knows_kerberos(self) -> None:
        """All that Kerberos sign-on needs is there, unless the installation said that it left it out."""
        program = "from appproxy.kerberos.delegation import Delegator"
        done = self._machine.attempt("/opt/appproxy/bin/python", "-c", program)
        equal(done.returncode != 0, "without Kerberos sign-on" in self._said, done.stderr)

    def starts(self) -> None:
        """Edge and connector are configured, checked, enrolled and started by the documented commands."""
        self._site.start_applications()
        checked = self._site.configure_edge()
        # The provider is behind this very edge, which is not there yet; the connect host leads elsewhere.
        failed = [line for line in checked.splitlines() if line.startswith(("failed", "warning"))]
        equal({line.split(":")[0] for line in failed}, {"failed   provider", "warning  DNS"}, checked)
        self._site.start_edge()
        self._site.start_connector()
        for unit in DAEMONS:
            equal(self._machine.state(unit), "active", unit)
