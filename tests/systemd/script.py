"""
What must hold of C{etc/install} besides: that it may run again, and that it goes.
"""

from __future__ import annotations

from tests.systemd.leaving import remove
from tests.systemd.promises import equal
from tests.systemd.site import DAEMONS, EDGE_FILE, Site


class Script:
    """Its later life, on a machine where all is set up and runs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machine = site.machine

    def runs_again(self) -> None:
        """Run again it restarts nothing and changes no settings; after a restart all is as before."""
        before = {unit: self._machine.main_pid(unit) for unit in DAEMONS}
        settings = self._machine.run("cat", EDGE_FILE)
        self._site.install_with_script()
        equal({unit: self._machine.main_pid(unit) for unit in DAEMONS}, before, "processes")
        equal(self._machine.run("cat", EDGE_FILE), settings, "edge.toml")
        for unit in reversed(DAEMONS):
            self._machine.run("systemctl", "restart", unit)
        self._site.wait_until_it_serves()

    def is_removed(self) -> None:
        """By the commands of the manual all is gone, settings, keys, store, logs and users included."""
        remove(self._machine)
