"""
The project itself: a real edge and connectors, set up as an administrator does.
"""

from __future__ import annotations

import grp
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from appproxy.demo.ports import free_ports
from bench.certificates import Certificate, make_certificate
from bench.processes import Process, run
from bench.sessions import GROUP, ISSUER, make_sessions
from bench.toml import Settings, toml_text

DOMAIN: Final = "apps.localhost"
CONNECTOR_GROUP: Final = "hq"
SESSIONS: Final = 1_000
_PROGRAMS: Final = Path(sys.executable).parent
_READY: Final = '"event":"ready"'

Daemon = Literal["edge", "connector"]


class Ours:
    """
    An edge and a connector, with one application that one group may use.

    @ivar hosts: the applications' names; requests go to the last one.
    """

    name = "appproxy"
    transport = "fast"

    def __init__(
        self, folder: Path, origin_port: int, *, applications: int = 1, sessions: int = SESSIONS
    ) -> None:
        """
        @param applications: published, all in front of the one origin.
        @param sessions: people who are signed in, each in one session.
        """
        self._folder = folder
        self._origin_port = origin_port
        self._sessions = sessions
        self.port, *self._metrics_ports = free_ports(3)
        self.hosts = [f"app{number}.{DOMAIN}" for number in range(applications)]
        self.host = self.hosts[-1]
        self.cookies: Sequence[str] = ()
        self._started: dict[str, Process] = {}
        self._sockets: Path | None = None

    def start(self) -> None:
        """Sign people in, then start edge and connector."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Paths of Unix sockets are short (108 bytes), and a benchmark's folder may not be.
        self._sockets = Path(tempfile.mkdtemp(prefix="appproxy-bench-"))
        certificate = make_certificate(self._folder / "tls", DOMAIN, f"*.{DOMAIN}")
        self._sign_in()
        self._start_daemon("edge", self._edge_settings(certificate))
        self._publish()
        self._start_connector()

    def stop(self) -> None:
        """Stop both."""
        for role in ("connector", "edge"):
            if role in self._started:
                self._started.pop(role).stop()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def pids(self) -> Mapping[str, Sequence[int]]:
        """C{edge} and C{connector}."""
        return {role: process.pids for role, process in self._started.items()}

    @property
    def admin(self) -> str:
        """Where the edge takes an administrator's commands."""
        return f"unix:{self._sockets}/admin.sock"

    def appproxy(self, *arguments: str | Path, stdin: str = "") -> str:
        """
        Give an administrator's command.

        @return: what it wrote.
        """
        return run((_PROGRAMS / "appproxy", "--server", self.admin, *arguments), stdin=stdin)

    def connector_token(self) -> str:
        """A new join token for a connector."""
        said = self.appproxy("connector", "token", "--group", CONNECTOR_GROUP, "--output", "json")
        return str(json.loads(said)["token"])

    def connector_settings(self, identity: Path, metrics_port: int, log: Path) -> dict[str, Any]:
        """What stands in C{connector.toml}."""
        return {
            "identity": identity,
            "allowed_backends": [f"127.0.0.1:{self._origin_port}"],
            "names_resolve_into": ["127.0.0.0/8"],
            "backend": {"idle_connections_per_application": 256},
            "tls": {"transport": self.transport},
            "metrics": {"listen": f"127.0.0.1:{metrics_port}"},
            "log": {"format": "json", "file": log},
        }

    def environment(self, daemon: Daemon) -> Mapping[str, str]:
        """What stands in a daemon's environment besides what stands in this process's."""
        return {}

    def write(self, name: str, settings: Settings) -> Path:
        """A configuration file."""
        path = self._folder / f"{name}.toml"
        path.write_text(toml_text(settings))
        return path

    def _sign_in(self) -> None:
        state = self._folder / "edge"
        state.mkdir(mode=0o700, exist_ok=True)
        made = make_sessions(state / "store.sqlite3", state / "store.key", self._sessions, self.host)
        self.cookies = made[self.host]

    def _edge_settings(self, certificate: Certificate) -> dict[str, Any]:
        state = self._folder / "edge"
        secret = self._folder / "client-secret"
        secret.touch(0o600)
        secret.write_text("a secret of the benchmark\n")
        certificates = self._folder / "certificates"
        certificates.mkdir(exist_ok=True)
        shutil.copy(certificate.both, certificates / "public.pem")
        return {
            "domain": DOMAIN,
            "listen": {"https": [f"127.0.0.1:{self.port}"], "http": []},
            "tls": {"certificates": [certificates], "transport": self.transport},
            "sign_in": {"issuer": ISSUER, "client_id": "appproxy", "client_secret_file": secret},
            "store": {"url": f"sqlite:{state / 'store.sqlite3'}", "key_file": state / "store.key"},
            "pki": {"infrastructure_key_file": state / "infrastructure.key"},
            "admin": {"listen": self.admin, "group": grp.getgrgid(os.getgid()).gr_name},
            "metrics": {"listen": f"127.0.0.1:{self._metrics_ports[0]}"},
            "log": {"format": "json", "file": self._folder / "edge.access.log"},
        }

    def _publish(self) -> None:
        applications = {host.partition(".")[0]: self._application(host) for host in self.hosts}
        document = {
            "format": 1,
            "connector_groups": {CONNECTOR_GROUP: {"name": "Headquarters"}},
            "applications": applications,
        }
        self.appproxy("apply", self.write("applications", document), "--yes")

    def _application(self, host: str) -> dict[str, Any]:
        return {
            "name": f"The application {host}",
            "external_url": f"https://{host}:{self.port}/",
            "internal_url": f"http://127.0.0.1:{self._origin_port}/",
            "connector_group": CONNECTOR_GROUP,
            "groups": [GROUP],
            "sso": {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}},
        }

    def _start_connector(self) -> None:
        settings = self.connector_settings(
            self._folder / "connector" / "identity",
            self._metrics_ports[1],
            self._folder / "connector.access.log",
        )
        config = self.write("connector", settings)
        self.appproxy("enroll", "--config", config, "--token-file", "-", stdin=self.connector_token())
        self._start_daemon("connector", settings)

    def _start_daemon(self, daemon: Daemon, settings: Settings) -> None:
        config = self.write(daemon, settings)
        command = self._command(daemon, config)
        process = Process(daemon, command, self._folder / daemon, self.environment(daemon))
        self._started[daemon] = process
        log: Path = settings["log"]["file"]
        process.wait_until(lambda: log.exists() and _READY in log.read_text(), "was ready")

    def _command(self, daemon: Daemon, config: Path) -> Sequence[str | Path]:
        return (_PROGRAMS / "twistd", "--nodaemon", f"appproxy-{daemon}", "--config", config)


class OursOnStockTransport(Ours):
    """The same on Twisted's own TLS."""

    name = "appproxy, stock"
    transport = "stock"
