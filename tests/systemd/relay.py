"""
What must hold of a relay on a machine of its own, between the edge and the connector of another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appproxy.config.daemon import EXIT_CONFIGURATION, EXIT_NOT_ENROLLED
from tests.integration.support.processes import wait_until
from tests.systemd.leaving import purge, remove
from tests.systemd.machine import Machine
from tests.systemd.promises import equal
from tests.systemd.running import DOWNLOAD_BYTES, RESTARTS_AT_MOST
from tests.systemd.site import (
    CONNECT,
    CONNECTOR,
    CONNECTOR_FILE,
    EDGE,
    EDGE_FILE,
    SERVES_SECONDS,
    Site,
    join_token,
)

RELAY: Final = "appproxy-relay"
SOCKET: Final = f"{RELAY}.socket"
PORTS: Final = {RELAY: (443,)}
RELAY_FILE: Final = "/etc/appproxy/relay.toml"
NAME: Final = "relay.inside.example"
ADDRESS: Final = "10.1.0.2"
ADDRESS_OF_EDGE: Final = "10.1.0.1"


class RelaySite:
    """
    Two machines: that of the relay, and that of edge and connector.

    @ivar site: the second one.
    @ivar relay: the first one.
    @ivar own: the same, for installing.
    """

    def __init__(self, site: Site, relay: Machine) -> None:
        self.site = site
        self.relay = relay
        self.own = Site(relay, site.media)
        self._before = {path: site.machine.path(path).read_text() for path in (EDGE_FILE, CONNECTOR_FILE)}

    def lay_cable(self) -> None:
        """After a boot of the relay."""
        self.site.machine.connect(self.relay, ADDRESS_OF_EDGE, ADDRESS)

    def name_each_other(self) -> None:
        """By the names that edge.toml has for both."""
        self.relay.path("/etc/hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS_OF_EDGE} {CONNECT}\n")
        self.site.machine.shell(f"echo '{ADDRESS} {NAME}' >> /etc/hosts")

    def tunnels(self) -> set[str]:
        """The relay's number of tunnels, by connector group; edges are of none."""
        lines = self.relay.run("curl", "--silent", "--fail", "http://127.0.0.1:9644/metrics").splitlines()
        return {line for line in lines if line.startswith("appproxy_tunnels{")}

    def use(self) -> None:
        """Tell the edge of the relay, and once that is there the connector, which else would be refused."""
        edge, connector = self._before[EDGE_FILE], self._before[CONNECTOR_FILE]
        self._write(EDGE_FILE, f'{edge}\n[relay]\nmode = "remote"\ndial = ["{NAME}:443"]\n')
        self.site.machine.run("systemctl", "restart", EDGE)
        wait_until(lambda: of_group("") in self.tunnels(), "the edge is there", SERVES_SECONDS)
        self._write(CONNECTOR_FILE, f'connect = ["{NAME}:443"]\n{connector}')
        self.site.machine.run("systemctl", "restart", CONNECTOR)
        self.site.wait_until_it_serves()

    def use_no_longer(self) -> None:
        """Back to the relay inside of the edge."""
        for path, text in self._before.items():
            self._write(path, text)
        self.site.machine.run("systemctl", "restart", EDGE, CONNECTOR)
        self.site.wait_until_it_serves()

    def _write(self, path: str, text: str) -> None:
        self.site.machine.path(path).write_text(text)


def of_group(group: str) -> str:
    """The line of the relay's numbers that tells of one tunnel."""
    return f'appproxy_tunnels{{connector_group="{group}"}} 1.0'


class RelaySetUp:
    """The documented commands, one after another."""

    def __init__(self, both: RelaySite, install: Callable[[], str]) -> None:
        self._both = both
        self._relay = both.relay
        self._install = install

    def starts(self) -> None:
        """On a machine of its own the relay is installed, enrolled, checked and started as documented."""
        self._install()
        self._both.lay_cable()
        self._both.name_each_other()
        self._relay.shell(f"""echo 'listen.https = ["systemd:https"]' > {RELAY_FILE}""")
        token = join_token(self._both.site.machine.run("appproxy", "relay", "token"))
        self._relay.run("appproxy", "enroll", "--token-file", "-", stdin=f"{token}\n")
        self._relay.run("systemctl", "enable", "--now", RELAY)
        equal(self._relay.state(RELAY), "active", RELAY)

    def takes_over(self) -> None:
        """Once edge and connector are told of it, all requests pass through it."""
        self._both.use()
        equal(self._both.tunnels(), {of_group(""), of_group("demo")}, "tunnels")

    def is_well(self) -> None:
        """The check of its file, with all that it can try, finds nothing wrong."""
        self._relay.run("appproxy", "check", RELAY_FILE, "--online")


class OwnRelay:
    """A relay that runs and carries requests. Each promise leaves it so."""

    def __init__(self, both: RelaySite) -> None:
        self._both = both
        self._site = both.site
        self._relay = both.relay

    def owns_its_file(self) -> None:
        """The command of the manual makes its file readable by root and the relay alone."""
        self._relay.run("systemd-tmpfiles", "--create", "appproxy.conf")
        equal(self._relay.run("stat", "--format=%a %U %G", RELAY_FILE).strip(), f"640 root {RELAY}")

    def restarts_in_good_order(self) -> None:
        """A restart lets a download end; edge and connector are back by themselves; nobody restarted it."""
        with self._site.download(DOWNLOAD_BYTES) as answer:
            received = len(answer.read(1000))
            pid = self._relay.main_pid(RELAY)
            self._relay.run("systemctl", "restart", "--no-block", RELAY)
            self._relay.wait_for_state(RELAY, "deactivating")
            while data := answer.read(1 << 20):
                received += len(data)
        equal(received, DOWNLOAD_BYTES, "bytes of the download that was under way")
        self._is_back_after(pid)
        equal(self._relay.show(RELAY, "NRestarts"), "0", "restarts that nobody asked for")

    def starts_on_demand(self) -> None:
        """Stopped without its socket, the relay is started by whoever dials next."""
        pid = self._relay.main_pid(RELAY)
        self._relay.run("systemctl", "stop", RELAY)
        self._is_back_after(pid)

    def reloads(self) -> None:
        """A reload is done when systemctl ends; the process and its tunnels stay."""
        pid = self._relay.main_pid(RELAY)
        self._relay.run("systemctl", "reload", RELAY)
        equal((self._relay.main_pid(RELAY), self._site.serves()), (pid, True), "process, serves")

    def survives_what_hangs(self) -> None:
        """A relay that stands still is killed by the watchdog and started again."""
        equal(self._relay.show(RELAY, "WatchdogUSec"), "30s", RELAY)
        with self._relay.drop_in(RELAY, "[Service]\nWatchdogSec=5\n"):
            pid = self._relay.main_pid(RELAY)
            self._relay.run("kill", "-STOP", str(pid))
            self._is_back_after(pid)
            assert any("Watchdog timeout" in line for line in self._relay.journal(RELAY)), RELAY
        self._site.wait_until_it_serves()

    def survives_being_killed(self) -> None:
        """A relay that was killed is started again."""
        pid = self._relay.main_pid(RELAY)
        self._relay.run("kill", "-KILL", str(pid))
        self._is_back_after(pid)

    def gives_up_on_a_wrong_file(self) -> None:
        """With a mistake in relay.toml it ends with 78, and rests after a few tries, whoever dials."""
        file = self._relay.path(RELAY_FILE)
        before = file.read_text()
        file.write_text(f"{before}[wrong]\n")
        try:
            self._rests_after(EXIT_CONFIGURATION)
            assert "wrong" in self._last_words(), self._last_words()
        finally:
            file.write_text(before)
            self._comes_back()

    def gives_up_without_an_identity(self) -> None:
        """A relay that is not enrolled ends with 77, and rests likewise."""
        folder = "/var/lib/appproxy/relay/identity"
        self._relay.run("mv", folder, "/root/identity")
        try:
            self._rests_after(EXIT_NOT_ENROLLED)
        finally:
            self._relay.run("mv", "/root/identity", folder)
            self._comes_back()

    def survives_a_reboot(self) -> None:
        """After a boot of its machine the relay is there by itself, and carries again."""
        self._relay.power_off()
        self._relay.boot(enter=False)
        self._both.lay_cable()
        self._relay.wait_for_state(RELAY, "active")
        self._site.wait_until_it_serves()

    # -- how

    def _is_back_after(self, pid: int) -> None:
        self._relay.wait_for_another(RELAY, pid)
        self._site.wait_until_it_serves()

    def _rests_after(self, code: int) -> None:
        since = self._relay.run("date", "+%s").strip()
        self._relay.attempt("systemctl", "restart", RELAY)
        self._relay.wait_for_state(SOCKET, "failed")
        self._relay.ended_for_good(RELAY, code)
        tries = self._relay.journal(RELAY, f"--since=@{since}")
        started = [line for line in tries if line.startswith("Starting ")]
        assert len(started) <= RESTARTS_AT_MOST, started

    def _comes_back(self) -> None:
        self._relay.run("systemctl", "reset-failed", RELAY, SOCKET)
        self._relay.run("systemctl", "start", RELAY)
        self._site.wait_until_it_serves()

    def _last_words(self) -> str:
        return "\n".join(self._relay.journal(RELAY, "--lines=30"))


class RelayPackage:
    """The Debian package's later life, on the relay's machine."""

    def __init__(self, both: RelaySite) -> None:
        self._both = both
        self._relay = both.relay

    def upgrades(self) -> None:
        """An upgrade restarts the relay, which carries again."""
        pid = self._relay.main_pid(RELAY)
        self._both.own.install_package(1)
        equal((self._relay.is_another(RELAY, pid), self._relay.state(RELAY)), (True, "active"), RELAY)
        self._both.site.wait_until_it_serves()


class RelayLeft:
    """The end of a relay."""

    def __init__(self, both: RelaySite, way: str) -> None:
        self._both = both
        self._way = way

    def is_needed_no_longer(self) -> None:
        """Once edge and connector are told, requests take the relay inside of the edge again."""
        self._both.use_no_longer()

    def is_gone(self) -> None:
        """The relay's machine is left without anything of it, by purge or by the commands of the manual."""
        if self._way == "package":
            purge(self._both.relay)
        else:
            remove(self._both.relay)
