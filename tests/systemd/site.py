"""
The demo's set-up as an administrator makes it: installed, configured and enrolled by the documented commands.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final

from appproxy.demo.plan import CLIENT_ID, DOMAIN, PASSWORD
from appproxy.demo.samples import USERS
from tests.integration.support.browser import TIMEOUT_SECONDS, Browser, Page
from tests.integration.support.case import ROOT
from tests.integration.support.processes import wait_until
from tests.systemd.applications import FIRST_PORT, SERVICES
from tests.systemd.machine import PATH, Machine

EDGE: Final = "appproxy-edge"
CONNECTOR: Final = "appproxy-connector"
DAEMONS: Final = (EDGE, CONNECTOR)
SOCKETS: Final = ("appproxy-edge.socket", "appproxy-edge-http.socket")
PORTS: Final = {EDGE: (443, 80), CONNECTOR: ()}
"""What of each daemon is a socket unit's."""

EDGE_FILE: Final = "/etc/appproxy/edge.toml"
CONNECTOR_FILE: Final = "/etc/appproxy/connector.toml"
ISSUER: Final = f"https://login.{DOMAIN}"
MEDIA: Final = "/srv/media"
PYTHON: Final = "/srv/demo/bin/python"
OUTPUT: Final = "/var/lib/private/demo"
"""What the applications' service wrote: a user that systemd makes for it keeps its state there."""

BACKEND: Final = "backend.inside.example"
"""The name by which the connector reaches the header viewer; /etc/hosts has it."""

ADDRESS: Final = "10.0.0.1"
"""Where that leads: a name may not lead to loopback."""

CONNECT: Final = "connect.inside.example"
"""Where connectors and relays dial the edge: the demo's names would be their own machine."""

SERVES_SECONDS: Final = 180
_JOIN_TOKEN: Final = re.compile(r"apj1\.[A-Za-z0-9_-]+")
_APPLICATIONS_UNIT: Final = f"""\
[Unit]
Description=The demo's applications and its sign-in
[Service]
Type=exec
DynamicUser=yes
StateDirectory=demo
ExecStartPre=+ip address replace {ADDRESS}/32 dev lo
ExecStart={PYTHON} {MEDIA}/applications.py /var/lib/demo
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Media:
    """
    What is carried to the machine.

    @ivar wheels: a folder with the project's wheel and all that it needs.
    @ivar packages: two Debian packages, the second one newer.
    """

    wheels: Path
    packages: tuple[Path, ...] = ()

    @property
    def wheel(self) -> Path:
        """The project's own."""
        (wheel,) = self.wheels.glob("appproxy-*.whl")
        return wheel


def prepare(tree: Path, media: Media) -> None:
    """
    Bring everything into the tree of a machine, which will have no network to fetch it from, and install
    what the demo's applications need, apart from what is tested.
    """
    folder = tree / MEDIA.lstrip("/")
    shutil.copytree(media.wheels, folder / "wheels")
    shutil.copytree(ROOT / "etc", folder / "etc")
    shutil.copy2(Path(__file__).with_name("applications.py"), folder)
    for package in media.packages:
        shutil.copy2(package, folder)
    pip = ("/srv/demo/bin/pip", "install", "--quiet", "--no-index", f"--find-links={MEDIA}/wheels")
    for command in (("python3", "-m", "venv", "/srv/demo"), (*pip, "appproxy[demo]")):
        subprocess.run(("chroot", tree, "env", "-i", f"PATH={PATH}", *command), check=True, cwd="/")
    (tree / "etc/systemd/system/demo.service").write_text(_APPLICATIONS_UNIT)
    (tree / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{ADDRESS} {BACKEND} {CONNECT}\n")


class Site:
    """
    One machine with an edge, a connector, and the demo's applications and provider behind it.

    @ivar browser: of somebody who signed in, once L{sign_in} was called.
    """

    browser: Browser

    def __init__(self, machine: Machine, media: Media) -> None:
        self.machine = machine
        self.media = media

    # -- installing

    def install_with_script(self) -> str:
        """C{etc/install}, of a wheel; what it said."""
        index = ("env", "PIP_NO_INDEX=1", f"PIP_FIND_LINKS={MEDIA}/wheels")
        wheel = f"{MEDIA}/wheels/{self.media.wheel.name}"
        return self.machine.run(*index, "sh", f"{MEDIA}/etc/install", wheel)

    def install_package(self, number: int = 0) -> str:
        """One of the Debian packages; what dpkg said."""
        return self.machine.run("dpkg", "--install", f"{MEDIA}/{self.media.packages[number].name}")

    # -- setting up

    def start_applications(self) -> None:
        """The applications, as a user of their own."""
        self.machine.run("systemctl", "enable", "--now", "demo")
        wait_until(lambda: "READY" in self.machine.journal("demo"), "the applications are ready")

    def configure_edge(self) -> str:
        """What C{appproxy init} says is left to do, done; what the check of it all found."""
        identity = ("--issuer", ISSUER, "--client-id", CLIENT_ID)
        self.machine.run("appproxy", "init", "--domain", DOMAIN, *identity)
        file = self.machine.path(EDGE_FILE)
        file.write_text(file.read_text() + f'\n[hosts]\nconnect = "{CONNECT}"\n')
        certificate = f"{OUTPUT}/certificates/{DOMAIN}.pem"
        self.machine.shell(
            f"(umask 077; cat {OUTPUT}/client-secret > /etc/appproxy/oidc-client-secret)\n"
            f"install -m 640 -g appproxy-edge {certificate} /etc/appproxy/certificates/\n"
            f"install -m 644 {OUTPUT}/ca.pem /usr/local/share/ca-certificates/demo.crt\n"
            "update-ca-certificates >/dev/null 2>&1"
        )
        return self.machine.attempt("appproxy", "check", EDGE_FILE, "--online").stdout

    def start_edge(self) -> None:
        """The edge, and what it publishes."""
        self.machine.run("systemctl", "enable", "--now", EDGE)
        text = self.machine.path(f"{OUTPUT}/applications.toml").read_text()
        text = text.replace(f"127.0.0.1:{FIRST_PORT}", f"{BACKEND}:{FIRST_PORT}")
        self.machine.path("/root/applications.toml").write_text(text)
        self.machine.run("appproxy", "apply", "--yes", "/root/applications.toml")

    def start_connector(self) -> None:
        """A connector that is enrolled with a token."""
        allowed = [f"127.0.0.1:{FIRST_PORT + number}" for number in range(len(SERVICES))]
        file = self.machine.path(CONNECTOR_FILE)
        file.write_text(f"allowed_backends = {json.dumps([*allowed, f'{BACKEND}:{FIRST_PORT}'])}\n")
        printed = self.machine.run("appproxy", "connector", "token", "--group", "demo")
        self.machine.run("appproxy", "enroll", "--token-file", "-", stdin=f"{join_token(printed)}\n")
        self.machine.run("appproxy", "check", CONNECTOR_FILE, "--online")
        self.machine.run("systemctl", "enable", "--now", CONNECTOR)

    # -- using it

    @property
    def ca_file(self) -> Path:
        """What a browser trusts."""
        return self.machine.path(f"{OUTPUT}/ca.pem")

    @staticmethod
    def url(name: str, path: str = "/") -> str:
        """An address below the domain."""
        return f"https://{name}.{DOMAIN}{path}"

    def sign_in(self, name: str = "headers", path: str = "/json") -> Page:
        """A new browser opens an application, and signs in on the way."""
        self.browser = Browser(self.ca_file)
        page = self.browser.open(self.url(name, path))
        assert page.url.startswith(ISSUER), f"led to {page.status} at {page.url}"
        return self.browser.submit(page, {"user": USERS[0].mail, "password": PASSWORD})

    def who(self, page: Page) -> str:
        """Whom the header viewer was told of."""
        assert page.status == 200, f"{page.status} at {page.url}: {page.text[:400]}"
        received: dict[str, str] = {key.lower(): value for key, value in page_headers(page)}
        return received["x-remote-user"]

    def serves(self) -> bool:
        """Whether the browser that signed in gets to the application, at the first attempt."""
        page = self.browser.fetch(self.url("headers", "/json"))
        return page.status == 200 and self.who(page) == USERS[0].mail

    def wait_until_it_serves(self) -> None:
        """After an edge's or a relay's start whoever dials it does so again within seconds, or a minute."""
        wait_until(self.serves, "the application is there", SERVES_SECONDS)

    @contextmanager
    def download(self, size: int) -> Iterator[HTTPResponse]:
        """An answer that has begun, whose body is read by whoever called."""
        self.browser.open(self.url("files"))
        host = urllib.parse.urlsplit(self.url("files")).hostname or ""
        context = ssl.create_default_context(cafile=self.ca_file)
        connection = HTTPConnection(host, timeout=TIMEOUT_SECONDS)
        plain = socket.create_connection(("127.0.0.1", 443), TIMEOUT_SECONDS)
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        cookies = self.browser.jar.header(host, "/download", secure=True)
        try:
            connection.request("GET", f"/download?size={size}", headers={"Cookie": cookies})
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            yield answer
        finally:
            connection.close()

    def audit(self) -> list[dict[str, Any]]:
        """The edge's audit log."""
        lines = [line for line in self.machine.journal(EDGE) if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == "audit"]


def page_headers(page: Page) -> list[tuple[str, str]]:
    """What the header viewer received."""
    told: dict[str, list[tuple[str, str]]] = json.loads(page.text)
    return told["headers"]


def join_token(printed: str) -> str:
    """What the command that makes a token for a connector or relay says it is."""
    (token,) = set[str](_JOIN_TOKEN.findall(printed))
    return token
