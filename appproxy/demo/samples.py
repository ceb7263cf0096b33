"""
The first demo: three sample applications that know of the user by headers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from appproxy.demo.chat import chat_resource
from appproxy.demo.files import files_site
from appproxy.demo.headers import headers_resource
from appproxy.demo.page import DemoPages, site_of
from appproxy.demo.plan import GROUP, HEADLINE, LOGIN, PASSWORD, Plan, toml_text
from appproxy.demo.probe import ProbeFailed
from appproxy.demo.programs import Programs
from appproxy.demo.provider_data import DemoUser, people_lines
from appproxy.demo.uploads import Shelf

if TYPE_CHECKING:
    from twisted.web.server import Site

USERS: Final = (
    DemoUser(
        "4f1c",
        "Ada Lovelace",
        "ada@example.com",
        ("staff", "engineering"),
        PASSWORD,
        "may open everything",
    ),
    DemoUser("9b27", "Alan Turing", "alan@example.com", ("staff",), PASSWORD, "is refused by the file drop"),
)

HEADERS: Final = "headers"
CHAT: Final = "chat"
FILES: Final = "files"
APPLICATIONS: Final = (HEADERS, CHAT, FILES)
"""Each is a web server within the demo, and a host name."""


class Samples:
    """See L{Kind<appproxy.demo.kind.Kind>}."""

    users = USERS
    connector_environment: Mapping[str, str] = {}

    def check(self) -> None:
        """Any machine will do."""

    def sites(self, plan: Plan, pages: DemoPages, now: Callable[[], float]) -> Mapping[str, Site]:
        """The applications."""
        return {
            HEADERS: site_of(headers_resource(pages)),
            CHAT: site_of(chat_resource(pages, now)),
            FILES: files_site(pages, Shelf(plan.folder.uploads)),
        }

    async def start(self, plan: Plan, pages: DemoPages, programs: Programs) -> None:
        """Nothing is a program of its own."""

    def connector_toml(self, plan: Plan) -> str:
        """The connector's own file."""
        return HEADLINE + _CONNECTOR.format(
            identity=toml_text(plan.folder.root / "connector" / "identity"),
            backends=plan.backends(),
            metrics=toml_text(f"127.0.0.1:{plan.metrics[1]}"),
        )

    def applications_toml(self, plan: Plan) -> str:
        """What is published."""
        addresses = {
            f"{name}_{side}": toml_text(address)
            for name in (*APPLICATIONS, LOGIN)
            for side, address in (("external", plan.url(name)), ("internal", plan.internal(name)))
        }
        return HEADLINE + _APPLICATIONS.format(group=GROUP, ada=toml_text(USERS[0].mail), **addresses)

    def first_page(self, plan: Plan) -> str:
        """What the header viewer tells scripts."""
        return plan.url(HEADERS, "/json")

    def check_first_page(self, content: bytes) -> None:
        """Whether it was told who the user is."""
        received = {name.lower(): value for name, value in json.loads(content)["headers"]}
        if received.get("x-remote-user") != USERS[0].mail:
            raise ProbeFailed("the application was not told who the user is")

    def ready(self, plan: Plan) -> Mapping[str, str]:
        """Addresses and people."""
        return {
            "app": plan.url(HEADERS),
            "websocket": plan.url(CHAT, "/socket", "wss"),
            "upload": plan.url(FILES, "/upload/"),
            "download": plan.url(FILES, "/download"),
            "chat": plan.url(CHAT),
            "user": USERS[0].mail,
            "password": PASSWORD,
            "second_user": USERS[1].mail,
        }

    def friendly_lines(self, plan: Plan, appproxy: str) -> str:
        """The same for a person."""
        return _FRIENDLY.format(
            portal=plan.url("portal"),
            headers=plan.url(HEADERS),
            chat=plan.url(CHAT),
            files=plan.url(FILES),
            people=people_lines(USERS),
            ca=plan.folder.ca,
            appproxy=f"{appproxy} --server {plan.folder.admin}",
            logs=plan.folder.log("edge").parent,
        )

    def remove(self) -> None:
        """There is nothing."""


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

Sign in as one of these:

{people}

Your browser does not know the demo's certificate. Trust
    {ca}
(it can vouch for demo.localhost only), or go on past the warning.

To look behind it, in another terminal:

    {appproxy} list apps

Logs are in {logs}. Press ^C to stop everything.
"""
