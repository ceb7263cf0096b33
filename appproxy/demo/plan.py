"""
What every demo has: names, addresses, a folder, the edge's file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from appproxy.demo.provider_data import DemoClient

DOMAIN: Final = "demo.localhost"
DEFAULT_PORT: Final = 8443
TITLE: Final = "Demo applications"
SUPPORT: Final = "helpdesk@example.com"
GROUP: Final = "demo"
CLIENT_ID: Final = "appproxy-demo"

PASSWORD: Final = "open-sesame"
"""Public, and shown on the sign-in page: the demo listens on this machine only."""

HEADLINE: Final = "# Written by the demo at each start; changes here are lost.\n"

LOGIN: Final = "login"
"""The sign-in page's host name, below L{DOMAIN}; applications have others."""


@dataclass(frozen=True)
class Folder:
    """
    Where the demo keeps things.

    @ivar root: C{.demo}.
    @ivar sockets: for Unix sockets, whose paths must be short.
    """

    root: Path
    sockets: Path

    @property
    def ca(self) -> Path:
        """The authority that browsers may be told to trust."""
        return self.root / "ca.pem"

    @property
    def certificate(self) -> Path:
        """Certificate and key of C{*.demo.localhost}."""
        return self.root / "certificates" / f"{DOMAIN}.pem"

    @property
    def client_secret(self) -> Path:
        """What the edge shows to the demo provider."""
        return self.root / "client-secret"

    @property
    def edge(self) -> Path:
        """C{edge.toml}."""
        return self.root / "edge.toml"

    @property
    def connector(self) -> Path:
        """C{connector.toml}."""
        return self.root / "connector.toml"

    @property
    def applications(self) -> Path:
        """C{applications.toml}."""
        return self.root / "applications.toml"

    @property
    def uploads(self) -> Path:
        """Where the file drop keeps what it is sent."""
        return self.root / "uploads"

    @property
    def admin(self) -> str:
        """The edge's admin socket, as C{--server} takes it."""
        return f"unix:{self.sockets / 'admin.sock'}"

    def log(self, name: str) -> Path:
        """What a process of the demo says."""
        return self.root / "log" / f"{name}.log"


@dataclass(frozen=True)
class Plan:
    """
    One run of the demo.

    @ivar port: of the edge.
    @ivar services: the port of each web server behind it, by name; filled as they are started.
    @ivar metrics: ports of edge and connector for C{/metrics}.
    @ivar admin_group: the Unix group that may use the admin socket.
    """

    folder: Folder
    port: int
    services: dict[str, int]
    metrics: tuple[int, int]
    admin_group: str

    def url(self, name: str, path: str = "/", scheme: str = "https") -> str:
        """The outside address of a host below L{DOMAIN}."""
        port = "" if self.port == 443 else f":{self.port}"
        return f"{scheme}://{name}.{DOMAIN}{port}{path}"

    @property
    def issuer(self) -> str:
        """The demo provider, as browsers and the edge know it."""
        return self.url(LOGIN, "")

    def client(self, secret: str) -> DemoClient:
        """The edge, as the provider knows it."""
        return DemoClient(
            CLIENT_ID,
            secret,
            self.url("auth", "/.appproxy/callback"),
            self.url("auth", "/.appproxy/signed-out"),
        )

    def internal(self, name: str) -> str:
        """The inside address of a service."""
        return f"http://127.0.0.1:{self.services[name]}/"

    def edge_toml(self) -> str:
        """All that differs from the defaults of a real edge."""
        state = self.folder.root / "edge"
        return HEADLINE + _EDGE.format(
            domain=toml_text(DOMAIN),
            https=toml_text(f"127.0.0.1:{self.port}"),
            certificates=toml_text(self.folder.certificate.parent),
            issuer=toml_text(self.issuer),
            client_id=toml_text(CLIENT_ID),
            client_secret=toml_text(self.folder.client_secret),
            ca=toml_text(self.folder.ca),
            title=toml_text(TITLE),
            support=toml_text(SUPPORT),
            store=toml_text(f"sqlite:{state / 'store.sqlite3'}"),
            store_key=toml_text(state / "store.key"),
            infrastructure_key=toml_text(state / "infrastructure.key"),
            admin=toml_text(self.folder.admin),
            group=toml_text(self.admin_group),
            metrics=toml_text(f"127.0.0.1:{self.metrics[0]}"),
        )

    def backends(self) -> str:
        """C{allowed_backends}: exactly the demo's services, nothing else."""
        return json.dumps([f"127.0.0.1:{port}" for port in self.services.values()])

    def ready_line(self, told: Mapping[str, str]) -> str:
        """
        The one line that scripts wait for.

        @param told: what is special about this demo.
        """
        values = {
            "portal": self.url("portal"),
            **told,
            "ca": str(self.folder.ca),
            "admin": self.folder.admin,
            "issuer": self.issuer,
        }
        return "READY " + " ".join(f"{name}={quote(value, safe='/:@')}" for name, value in values.items())


def toml_text(value: object) -> str:
    """A value as TOML writes text."""
    # A JSON string is a TOML basic string, once DEL is no longer in it.
    return json.dumps(str(value)).replace("\x7f", "\\u007f")


_EDGE: Final = """\
domain = {domain}
[listen]
https = [{https}]
http = []
[tls]
certificates = [{certificates}]
[sign_in]
issuer = {issuer}
client_id = {client_id}
client_secret_file = {client_secret}
ca_file = {ca}
[portal]
title = {title}
support = {support}
[store]
url = {store}
key_file = {store_key}
[pki]
infrastructure_key_file = {infrastructure_key}
[admin]
listen = {admin}
group = {group}
[metrics]
listen = {metrics}
[log]
format = "json"
[limits]
drain_timeout = "2s"
"""
