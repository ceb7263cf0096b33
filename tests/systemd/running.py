"""
What must hold of daemons that systemd runs, however they were installed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from appproxy.config.daemon import EXIT_CONFIGURATION, EXIT_NOT_ENROLLED, EXIT_UNAVAILABLE
from appproxy.demo.plan import DOMAIN
from tests.integration.support.browser import Browser
from tests.integration.support.processes import answers, wait_until
from tests.systemd.promises import equal
from tests.systemd.site import (
    CONNECTOR,
    CONNECTOR_FILE,
    DAEMONS,
    EDGE,
    EDGE_FILE,
    OUTPUT,
    SOCKETS,
    Site,
)

DOWNLOAD_BYTES: Final = 128 << 20
"""More than what all the buffers between application and reader hold."""

RESTARTS_AT_MOST: Final = 6
"""C{TriggerLimitBurst=}, and one whose socket was being closed."""


class Running:
    """The whole installation while it runs. Each promise leaves it running."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machine = site.machine

    # -- as whom

    def owns_little(self) -> None:
        """Files have the owners and modes of the manual; the secret is for root."""
        expected = {
            "/etc/appproxy": "755 root root",
            EDGE_FILE: "640 root appproxy-edge",
            "/etc/appproxy/oidc-client-secret": "600 root root",
            "/etc/appproxy/certificates": "750 root appproxy-edge",
            f"/etc/appproxy/certificates/{DOMAIN}.pem": "640 root appproxy-edge",
            "/run/appproxy/edge/admin.sock": "660 appproxy-edge appproxy-admin",
            "/var/log/appproxy/edge": "750 appproxy-edge appproxy-edge",
            "/var/lib/appproxy/relay": "700 appproxy-relay appproxy-relay",
        }
        for path, words in expected.items():
            equal(self._machine.run("stat", "--format=%a %U %G", path).strip(), words, path)

    def administers(self) -> None:
        """Root and appproxy-admin may use the command, nobody else; the audit log knows who it was."""
        self._machine.shell("id ada >/dev/null 2>&1 || useradd --no-create-home ada")
        refused = self._machine.attempt("appproxy", "status", user="ada")
        assert refused.returncode != 0, refused.stdout
        self._machine.run("usermod", "--append", "--groups", "appproxy-admin", "ada")
        self._machine.run("appproxy", "status", user="ada")
        equal({event["actor"] for event in self._site.audit()}, {"root"}, "actors")

    # -- what it writes

    def writes_to_a_file(self) -> None:
        """log.file below /var/log/appproxy works; after it was moved away, a reload makes it anew."""
        file = "/var/log/appproxy/connector/connector.log"
        config = self._machine.path(CONNECTOR_FILE)
        before = config.read_text()
        config.write_text(f'{before}log.file = "{file}"\n')
        self._machine.run("systemctl", "restart", CONNECTOR)
        self._machine.shell(f'grep -q \'"event":"ready"\' {file} && mv {file} {file}.1')
        self._machine.run("systemctl", "reload", CONNECTOR)
        wait_until(lambda: "config_reloaded" in self._machine.shell(f"cat {file} || true"), "a new file")
        equal(self._machine.run("stat", "--format=%a %U", file).strip(), f"640 {CONNECTOR}", file)
        config.write_text(before)
        self._machine.run("systemctl", "restart", CONNECTOR)
        self._site.wait_until_it_serves()

    def runs_plugins(self) -> None:
        """A plugin that the installation brings is found and loaded by the edge within its restraints."""
        self._machine.shell("install -m 644 /opt/appproxy/share/appproxy/plugins/*.py /etc/appproxy/plugins")
        with self._changed_edge('\n[plugins]\nenabled = ["office_hours"]\n'):
            # Whether it lets anybody in depends on the hour.
            done = self._machine.attempt("systemctl", "restart", EDGE)
            equal((done.returncode, self._machine.state(EDGE)), (0, "active"), self._last_words())
        self._restart()

    # -- how it goes on

    def reloads(self) -> None:
        """A reload takes a new certificate into use; the process stays, systemd waits until it is done."""
        pid = self._machine.main_pid(EDGE)
        before = self._fingerprint()
        self._machine.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=new "
            f"-addext 'subjectAltName=DNS:*.{DOMAIN}' -keyout /root/key.pem -out /root/chain.pem 2>&1\n"
            "cat /root/chain.pem /root/key.pem > /root/new.pem\n"
            f"install -m 640 -g appproxy-edge /root/new.pem /etc/appproxy/certificates/{DOMAIN}.pem"
        )
        self._machine.run("systemctl", "reload", EDGE)
        after = self._fingerprint()
        self._machine.run(
            *("install", "-m", "640", "-g", "appproxy-edge"),
            *(f"{OUTPUT}/certificates/{DOMAIN}.pem", "/etc/appproxy/certificates/"),
        )
        self._machine.run("systemctl", "reload", EDGE)
        equal(
            (after != before, self._fingerprint() == before), (True, True), "new certificate, old one again"
        )
        equal(self._machine.main_pid(EDGE), pid)

    def restarts_without_a_gap(self) -> None:
        """A restart: what is under way ends whole, who comes meanwhile is served, sessions go on."""
        with ThreadPoolExecutor(20) as threads:
            with self._site.download(DOWNLOAD_BYTES) as answer:
                received = len(answer.read(1000))
                self._machine.run("systemctl", "restart", "--no-block", EDGE)
                self._machine.wait_for_state(EDGE, "deactivating")
                # Threads see the machine's network, too: they begin in that of the thread that made them.
                late = [threads.submit(self._status_of_sign_in) for _ in range(20)]
                while data := answer.read(1 << 20):
                    received += len(data)
            equal(received, DOWNLOAD_BYTES, "bytes of the download that was under way")
            equal([each.result() for each in late], [302] * 20, "answers to who came meanwhile")
        self._machine.wait_for_state(EDGE, "active")
        self._site.wait_until_it_serves()
        equal(self._machine.show(EDGE, "NRestarts"), "0", "restarts that nobody asked for")

    def stops_in_good_order(self) -> None:
        """A stop of edge and sockets lets a download end, is a success, and then nobody listens."""
        with self._site.download(DOWNLOAD_BYTES) as answer:
            received = len(answer.read(1000))
            self._machine.run("systemctl", "stop", "--no-block", *SOCKETS, EDGE)
            self._machine.wait_for_state(EDGE, "deactivating")
            while data := answer.read(1 << 20):
                received += len(data)
        equal(received, DOWNLOAD_BYTES, "bytes of the download that was under way")
        self._machine.wait_for_state(EDGE, "inactive")
        equal((self._machine.show(EDGE, "Result"), answers(443)), ("success", False), "result, listens")
        self._machine.run("systemctl", "start", EDGE)
        self._site.wait_until_it_serves()

    def starts_on_demand(self) -> None:
        """Stopped without its sockets, the edge is started by whoever comes next."""
        self._machine.run("systemctl", "stop", EDGE)
        equal(self._status_of_sign_in(), 302)
        self._site.wait_until_it_serves()

    def survives_what_hangs(self) -> None:
        """A daemon that stands still is killed by the watchdog and started again."""
        for unit in DAEMONS:
            equal(self._machine.show(unit, "WatchdogUSec"), "30s", unit)
            # The unit's own thirty seconds are for a machine that is busy, not for us to wait.
            with self._machine.drop_in(unit, "[Service]\nWatchdogSec=5\n"):
                pid = self._machine.main_pid(unit)
                self._machine.run("kill", "-STOP", str(pid))
                self._machine.wait_for_another(unit, pid)
                assert any("Watchdog timeout" in line for line in self._machine.journal(unit)), unit
            self._site.wait_until_it_serves()

    def survives_being_killed(self) -> None:
        """A daemon that was killed is started again; the ports stay open meanwhile."""
        pid = self._machine.main_pid(EDGE)
        self._machine.run("kill", "-KILL", str(pid))
        equal(self._status_of_sign_in(), 302)
        assert self._machine.is_another(EDGE, pid)
        self._site.wait_until_it_serves()

    # -- where going on does not help

    def gives_up_on_a_wrong_file(self) -> None:
        """With a mistake in edge.toml it ends with 78, says so, and is not started again by systemd."""
        with self._changed_edge("\n[wrong]\n"):
            # The connector knocks, too, and so would start it.
            self._machine.run("systemctl", "stop", CONNECTOR)
            self._machine.attempt("systemctl", "restart", EDGE)
            self._machine.ended_for_good(EDGE, EXIT_CONFIGURATION)
            assert "wrong" in self._last_words(), self._last_words()
        self._machine.run("systemctl", "start", CONNECTOR)
        self._restart()

    def gives_up_when_asked_again_and_again(self) -> None:
        """Visitors who knock at an edge with a mistake in edge.toml make it try a few times only."""
        with self._changed_edge("\n[wrong]\n"):
            since = self._machine.run("date", "+%s").strip()
            self._machine.run("systemctl", "stop", EDGE)

            def knocked() -> bool:
                if answers(443):
                    self._is_refused()
                return not answers(443)

            wait_until(knocked, "systemd lets the socket rest")
            tries = self._machine.journal(EDGE, f"--since=@{since}")
            started = [line for line in tries if line.startswith("Starting ")]
            assert len(started) <= RESTARTS_AT_MOST, started

    def comes_back_after_that(self) -> None:
        """The command of the manual brings service and sockets back."""
        self._machine.run("systemctl", "reset-failed", "appproxy-edge*")
        self._machine.run("systemctl", "start", EDGE)
        self._site.wait_until_it_serves()

    def gives_up_without_an_identity(self) -> None:
        """A connector that is not enrolled ends with 77, and is not started again."""
        folder = "/var/lib/appproxy/connector/identity"
        self._machine.shell(f"systemctl stop {CONNECTOR}; mv {folder} /root/identity")
        self._machine.attempt("systemctl", "start", CONNECTOR)
        self._machine.ended_for_good(CONNECTOR, EXIT_NOT_ENROLLED)
        self._machine.shell(f"mv /root/identity {folder}; systemctl start {CONNECTOR}")
        self._site.wait_until_it_serves()

    def says_what_to_write(self) -> None:
        """With ":443" the edge may not bind: it ends with 69, and its log and the check say what to write."""
        file = self._machine.path(EDGE_FILE)
        before = file.read_text()
        assert '"systemd:https"' in before, before
        self._machine.run("systemctl", "stop", *SOCKETS, EDGE)
        try:
            file.write_text(before.replace('"systemd:https"', '":443"'))
            self._machine.attempt("systemctl", "start", EDGE)
            wait_until(lambda: f"status={EXIT_UNAVAILABLE}" in self._last_words(), "exit code 69")
            assert 'write \\"systemd:http\\" or \\"systemd:https\\"' in self._last_words(), self._last_words()
            checked = self._machine.attempt("appproxy", "check", EDGE_FILE, "--online").stdout
            assert "the user appproxy-edge may not have it" in checked, checked
            assert 'write "systemd:https"' in checked, checked
        finally:
            file.write_text(before)
            self._restart()

    def survives_a_reboot(self) -> None:
        """After a boot of the machine edge and connector are there by themselves."""
        self._machine.power_off()
        self._machine.boot()
        for unit in DAEMONS:
            self._machine.wait_for_state(unit, "active")
        self._site.wait_until_it_serves()
        equal(
            self._machine.run("stat", "--format=%a %G", CONNECTOR_FILE).strip(),
            "640 appproxy-connector",
        )

    # -- how

    def _status_of_sign_in(self) -> int:
        return (
            Browser(self._site.ca_file)
            .request("GET", self._site.url("headers"), {"Accept": "text/html"})
            .status
        )

    def _is_refused(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", 443), 5) as knocking:
                knocking.settimeout(5)
                knocking.sendall(b"GET / HTTP/1.1\r\n\r\n")
                knocking.recv(1)
        except OSError:
            pass

    @contextmanager
    def _changed_edge(self, more: str) -> Iterator[None]:
        """Some lines more in edge.toml; starting is left to whoever uses it."""
        file = self._machine.path(EDGE_FILE)
        before = file.read_text()
        file.write_text(before + more)
        try:
            yield
        finally:
            file.write_text(before)

    def _restart(self) -> None:
        self._machine.shell("systemctl stop appproxy-edge.socket appproxy-edge-http.socket appproxy-edge")
        self._machine.shell("systemctl reset-failed 'appproxy-edge*'; systemctl start appproxy-edge")
        self._site.wait_until_it_serves()

    def _last_words(self) -> str:
        return "\n".join(self._machine.journal(EDGE, "--lines=30"))

    def _fingerprint(self) -> str:
        return self._machine.shell(
            f"openssl s_client -connect 127.0.0.1:443 -servername auth.{DOMAIN} </dev/null 2>/dev/null "
            "| openssl x509 -noout -fingerprint"
        )
