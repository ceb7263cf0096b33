"""
A whole installation: edge, connectors, relays, made as an administrator makes them.
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
from urllib.request import urlopen

from appproxy.demo.ports import free_ports
from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.certificates import TestAuthority
from tests.integration.support.oidc_provider import ADA, GRACE, Client, OidcProvider, User
from tests.integration.support.processes import Running, must_run
from tests.integration.support.toml import Settings, merged, toml_text

PROGRAMS: Final = Path(sys.executable).parent
READY: Final = r'"event": ?"ready"'
DOMAIN: Final = "apps.localhost"
Daemon = Literal["edge", "relay", "connector"]


class Installation:
    """
    One edge (with the relay inside unless told otherwise), and what is added to it.

    Everything listens on loopback. The processes end with the test that made the installation.

    @ivar authority: of the public certificates.
    @ivar port: of the edge's https.
    @ivar edge: its process, once L{start_edge} has started it.
    @ivar environment: of daemons that are started from now on, besides this process's own.
    @ivar provider: the OpenID Connect provider, once L{start_provider} has started it.
    """

    edge: Running
    provider: OidcProvider

    def __init__(
        self, case: IntegrationTestCase, *, domain: str = DOMAIN, settings: Settings | None = None
    ) -> None:
        """
        Choose ports and make folders; nothing is started yet.

        @param settings: changes to edge.toml.
        """
        self._case = case
        self._connectors = 0
        self.environment: dict[str, str] = {}
        self._written: dict[str, tuple[Daemon, Settings]] = {}
        self.domain = domain
        self.folder = case.folder / "installation"
        self.folder.mkdir()
        self.authority = TestAuthority(self.folder / "ca")
        self.authority.issue(domain, f"*.{domain}", to=self.folder / "certificates" / "public.pem")
        self.port, self._metrics_port, self._provider_port = free_ports(3)
        # Paths of Unix sockets are short (108 bytes), and trial's folders are not.
        self._sockets = Path(tempfile.mkdtemp(prefix="appproxy-test-"))
        case.addCleanup(shutil.rmtree, self._sockets, ignore_errors=True)
        self.admin = f"unix:{self._sockets / 'admin.sock'}"
        self._settings = merged(self._edge_settings(), settings or {})

    def _edge_settings(self) -> dict[str, Any]:
        state = self.folder / "edge"
        return {
            "domain": self.domain,
            "listen": {"https": [f"127.0.0.1:{self.port}"], "http": []},
            "tls": {"certificates": [self.folder / "certificates"]},
            "store": {"url": f"sqlite:{state / 'store.sqlite3'}", "key_file": state / "store.key"},
            "pki": {"infrastructure_key_file": state / "infrastructure.key"},
            "admin": {"listen": self.admin, "group": grp.getgrgid(os.getgid()).gr_name},
            "metrics": {"listen": f"127.0.0.1:{self._metrics_port}"},
            # What comes to an application is for a test to say.
            "probes": {"interval": "0s"},
            "log": {"format": "json", "level": "debug"},
            "limits": {"drain_timeout": "2s"},
        }

    # -- addresses

    def url(self, name: str, path: str = "/", scheme: str = "https") -> str:
        """An address below the domain."""
        return f"{scheme}://{name}.{self.domain}:{self.port}{path}"

    @property
    def metrics_url(self) -> str:
        """Where the edge tells its numbers."""
        return f"http://127.0.0.1:{self._metrics_port}"

    # -- daemons

    def start_provider(
        self, users: Sequence[User] = (ADA, GRACE), *, claims_in_id_token: bool = False
    ) -> OidcProvider:
        """Start the provider, and have the edge use it from its next start on."""
        client = Client(
            [self.url("auth", "/.appproxy/callback")], [self.url("auth", "/.appproxy/signed-out")]
        )
        self.provider = OidcProvider(
            self.folder / "provider",
            self.authority,
            [client],
            users,
            port=self._provider_port,
            claims_in_id_token=claims_in_id_token,
        )
        self._case.start(self.provider.process)
        secret = self.folder / "client-secret"
        secret.write_text(client.secret + "\n")
        secret.chmod(0o600)
        section = {
            "issuer": self.provider.issuer,
            "client_id": client.client_id,
            "client_secret_file": secret,
            "ca_file": self.authority.ca_file,
            "scopes": ["openid", "profile", "email", "groups"],
        }
        self._settings = merged({"sign_in": section}, self._settings)
        return self.provider

    def start_edge(self, settings: Settings | None = None) -> Running:
        """Write edge.toml, with changes that stay, and start the edge."""
        self._settings = merged(self._settings, settings or {})
        self.edge = self.start_daemon("edge", self._settings)
        return self.edge

    def start_connector(
        self, group: str, allowed_backends: Sequence[str], settings: Settings | None = None
    ) -> Running:
        """Enrol a connector with a new join token, and start it."""
        self._connectors += 1
        name = "connector" if self._connectors == 1 else f"connector-{self._connectors}"
        (metrics,) = free_ports(1)
        written = merged(
            {
                "identity": self.folder / name / "identity",
                "allowed_backends": list(allowed_backends),
                "backend": {"ca_files": [self.authority.ca_file]},
                "metrics": {"listen": f"127.0.0.1:{metrics}"},
                "log": {"format": "json", "level": "debug"},
                "limits": {"drain_timeout": "2s"},
            },
            settings or {},
        )
        config = self.write(name, written)
        token = self.appproxy_json("connector", "token", "--group", group)["token"]
        self.appproxy("enroll", "--config", config, "--token-file", "-", stdin=token)
        return self.start_daemon("connector", written, name)

    def start_relay(self) -> tuple[Running, int]:
        """
        Enrol a relay with a new join token, and start it.

        @return: it, and its port: what C{relay.dial} of the edge names from its next start on.
        """
        port, metrics = free_ports(2)
        written = {
            "identity": self.folder / "relay" / "identity",
            "listen": {"https": [f"127.0.0.1:{port}"]},
            "metrics": {"listen": f"127.0.0.1:{metrics}"},
            "log": {"format": "json", "level": "debug"},
            "limits": {"drain_timeout": "2s"},
        }
        config = self.write("relay", written)
        token = self.appproxy_json("relay", "token")["token"]
        self.appproxy("enroll", "--config", config, "--token-file", "-", stdin=token)
        return self.start_daemon("relay", written), port

    def restart_edge(self, settings: Settings | None = None) -> Running:
        """Stop the edge and start it with changes."""
        self.edge.stop()
        return self.start_edge(settings)

    def start_daemon(self, daemon: Daemon, settings: Settings, name: str = "") -> Running:
        """
        Write a daemon's file and start it under twistd, in a folder of its own.

        @return: it, once it says that it is ready.
        """
        name = name or daemon
        self._written[name] = daemon, settings
        if self._case.transport:
            settings = merged(settings, {"tls": {"transport": self._case.transport}})
        config = self.write(name, settings)
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        command = (PROGRAMS / "twistd", "--nodaemon", f"appproxy-{daemon}", "--config", config)
        (folder / f"{name}.log").unlink(missing_ok=True)
        process = self._case.start(Running(name, command, folder, self.environment))
        process.wait_for_line(READY)
        return process

    def changed(self, name: str, settings: Settings) -> dict[str, Any]:
        """The settings that a daemon was started with last, with changes."""
        return merged(self._written[name][1], settings)

    def start_again(self, name: str) -> Running:
        """Start a daemon that ended, with the settings that it had; its log begins anew."""
        daemon, settings = self._written[name]
        return self.start_daemon(daemon, settings, name)

    def numbers(self, name: str) -> dict[str, float]:
        """
        A daemon's metrics.

        @return: by name and labels, as they stand in Prometheus' text.
        """
        address = self._written[name][1]["metrics"]["listen"]
        with urlopen(f"http://{address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {key: float(value) for key, _, value in pairs}

    def write(self, name: str, settings: Settings) -> Path:
        """A configuration file."""
        path = self.folder / f"{name}.toml"
        path.write_text(toml_text(settings))
        return path

    # -- administration

    def appproxy(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run the command at this edge; it must succeed."""
        return must_run((PROGRAMS / "appproxy", "--server", self.admin, *arguments), stdin=stdin)

    def appproxy_json(self, *arguments: str) -> Any:
        """The same, for its JSON."""
        return json.loads(self.appproxy(*arguments, "--output", "json"))

    def publish(self, applications: Mapping[str, Settings], groups: Sequence[str] = ("hq",)) -> str:
        """
        Make these the applications: all others go.

        @param applications: settings by id, where C{name}, C{external_url} and C{connector_group} follow from
            id and groups unless they are given.
        @return: what the command said.
        """
        full = {key: {**self._usual(key, groups[0]), **settings} for key, settings in applications.items()}
        document = {
            "format": 1,
            "connector_groups": {group: {"name": group.upper()} for group in groups},
            "applications": full,
        }
        path = self.write("applications", document)
        return self.appproxy("apply", path, "--yes", "--prune")

    def _usual(self, key: str, group: str) -> dict[str, str]:
        return {"name": key.capitalize(), "external_url": self.url(key), "connector_group": group}

    # -- people

    def browser(self) -> Browser:
        """A new browser that trusts the public certificates."""
        return Browser(self.authority.ca_file)

    def sign_in(self, browser: Browser, url: str, user: User = ADA) -> Page:
        """Open an address, sign in at the provider on the way, and arrive."""
        page = browser.open(url)
        if page.url.startswith(self.provider.issuer):
            page = browser.submit(page, {"name": user.name, "password": user.password})
        return page

    def access_lines(self) -> list[dict[str, Any]]:
        """The edge's access log so far."""
        lines = (line for line in self.edge.text.splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event.get("event") == "access"]
