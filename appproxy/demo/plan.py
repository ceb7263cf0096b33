"""
What the demo consists of: names, addresses, people, and its three files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from appproxy.demo.provider_data import DemoClient, DemoUser

DOMAIN: Final = "demo.localhost"
DEFAULT_PORT: Final = 8443
TITLE: Final = "Demo applications"
SUPPORT: Final = "helpdesk@example.com"
GROUP: Final = "demo"
CLIENT_ID: Final = "appproxy-demo"

PASSWORD: Final = "open-sesame"
"""Public, and shown on the sign-in page: the demo listens on this machine only."""

USERS: Final = (
    DemoUser("4f1c", "Ada Lovelace", "ada@example.com", ("staff", "engineering"), PASSWORD),
    DemoUser("9b27", "Alan Turing", "alan@example.com", ("staff",), PASSWORD),
)

HEADERS: Final = "headers"
CHAT: Final = "chat"
FILES: Final = "files"
LOGIN: Final = "login"
SERVICES: Final = (HEADERS, CHAT, FILES, LOGIN)
"""Each is a web server on this machine, and a host name below L{DOMAIN}."""


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
    @ivar services: the port of each of L{SERVICES}.
    @ivar metrics: ports of edge and connector for C{/metrics}.
    @ivar admin_group: the Unix group that may use the admin socket.
    """

    folder: Folder
    port: int
    services: Mapping[str, int]
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
        return _HEADLINE + _EDGE.format(
            domain=_text(DOMAIN),
            https=_text(f"127.0.0.1:{self.port}"),
            certificates=_text(self.folder.certificate.parent),
            issuer=_text(self.issuer),
            client_id=_text(CLIENT_ID),
            client_secret=_text(self.folder.client_secret),
            ca=_text(self.folder.ca),
            title=_text(TITLE),
            support=_text(SUPPORT),
            store=_text(f"sqlite:{state / 'store.sqlite3'}"),
            store_key=_text(state / "store.key"),
            infrastructure_key=_text(state / "infrastructure.key"),
            admin=_text(self.folder.admin),
            group=_text(self.admin_group),
            metrics=_text(f"127.0.0.1:{self.metrics[0]}"),
        )

    def connector_toml(self) -> str:
        """The connector's own file: exactly the demo's services, nothing else."""
        backends = [f"127.0.0.1:{self.services[name]}" for name in SERVICES]
        return _HEADLINE + _CONNECTOR.format(
            identity=_text(self.folder.root / "connector" / "identity"),
            backends=json.dumps(backends),
            metrics=_text(f"127.0.0.1:{self.metrics[1]}"),
        )

    def applications_toml(self) -> str:
        """What is published."""
        addresses = {
            f"{name}_{side}": _text(address)
            for name in SERVICES
            for side, address in (("external", self.url(name)), ("internal", self.internal(name)))
        }
        return _HEADLINE + _APPLICATIONS.format(group=GROUP, ada=_text(USERS[0].mail), **addresses)

    def ready_line(self) -> str:
        """The one line that scripts wait for."""
        values = {
            "portal": self.url("portal"),
            "app": self.url(HEADERS),
            "websocket": self.url(CHAT, "/socket", "wss"),
            "upload": self.url(FILES, "/upload/"),
            "download": self.url(FILES, "/download"),
            "chat": self.url(CHAT),
            "user": USERS[0].mail,
            "password": PASSWORD,
            "second_user": USERS[1].mail,
            "ca": str(self.folder.ca),
            "admin": self.folder.admin,
            "issuer": self.issuer,
        }
        return "READY " + " ".join(f"{name}={quote(value, safe='/:@')}" for name, value in values.items())

    def friendly_lines(self, appproxy: str) -> str:
        """
        The same for a person.

        @param appproxy: the command as it can be typed here.
        """
        people = "\n".join(
            f"    {user.name:14}{user.mail:20}{user.password}   {_WHAT_FOR[user.mail]}" for user in USERS
        )
        return _FRIENDLY.format(
            portal=self.url("portal"),
            headers=self.url(HEADERS),
            chat=self.url(CHAT),
            files=self.url(FILES),
            people=people,
            ca=self.folder.ca,
            appproxy=f"{appproxy} --server {self.folder.admin}",
            logs=self.folder.log("edge").parent,
        )


def _text(value: object) -> str:
    # A JSON string is a TOML basic string, once DEL is no longer in it.
    return json.dumps(str(value)).replace("\x7f", "\\u007f")


_WHAT_FOR: Final = {
    USERS[0].mail: "may open everything",
    USERS[1].mail: "is refused by the file drop",
}

_HEADLINE: Final = "# Written by the demo at each start; changes here are lost.\n"

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

_CONNECTOR: Final = """\
identity = {identity}
allowed_backends = {backends}
allowed_sso = ["none", "headers"]
[metrics]
listen = {metrics}
[log]
format = "json"
[limits]
drain_timeout = "2s"
"""

_APPLICATIONS: Final = """\
format = 1

[connector_groups.{group}]
name = "Demo"

[applications.headers]
name = "Header viewer"
description = "What an application sees of your request"
external_url = {headers_external}
internal_url = {headers_internal}
connector_group = "{group}"
everyone = true
[applications.headers.sso]
mode = "headers"
headers.X-Remote-User = {{ claim = "user_principal_name" }}
headers.X-Remote-Name = {{ claim = "display_name" }}
headers.X-Remote-Groups = {{ claim = "groups", join = "," }}
headers.X-Source = {{ value = "appproxy" }}

[applications.chat]
name = "Team chat"
description = "A conversation over one WebSocket"
external_url = {chat_external}
internal_url = {chat_internal}
connector_group = "{group}"
groups = ["staff"]
[applications.chat.sso]
mode = "headers"
headers.X-Remote-Name = {{ claim = "display_name" }}

[applications.files]
name = "File drop"
description = "Large uploads and downloads"
external_url = {files_external}
internal_url = {files_internal}
connector_group = "{group}"
users = [{ada}]
backend_timeout = "1h"

[applications.login]
name = "Demo sign-in"
external_url = {login_external}
internal_url = {login_internal}
connector_group = "{group}"
pre_authentication = "passthrough"
visible = false
"""

_FRIENDLY: Final = """
The demo is running.

    Your applications   {portal}
    Header viewer       {headers}
    Team chat           {chat}
    File drop           {files}

Sign in as either of these:

{people}

Your browser does not know the demo's certificate. Trust
    {ca}
(it can vouch for demo.localhost only), or go on past the warning.

To look behind it, in another terminal:

    {appproxy} list apps

Logs are in {logs}. Press ^C to stop everything.
"""
