"""The first hour: what README.md says works by its very commands, and so does the demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from websockets.sync.client import connect
from websockets.typing import Origin

from appproxy.demo.ports import free_ports
from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import ROOT, IntegrationTestCase
from tests.integration.support.certificates import TestAuthority
from tests.integration.support.installation import PROGRAMS, READY
from tests.integration.support.oidc_provider import ADA, Client, OidcProvider
from tests.integration.support.processes import Running, answers, must_run, wait_until

SECTION: Final = "### The same on one machine, without root"
ISSUER: Final = "https://login.example.com/realms/main"
INSTALL: Final = (
    "python3 -m venv try/venv && try/venv/bin/pip install . && export PATH=$PWD/try/venv/bin:$PATH"
)
"""Done by the tests of packaging; here the programs are those that run the tests."""

ADDRESS: Final = re.compile(r"(redirect URI|post-logout redirect URI) +(https://\S+)")


def blocks_of(section: str) -> list[str]:
    """The indented blocks of code below a heading of the README, without their indentation."""
    text = (ROOT / "README.md").read_text("utf-8").partition(f"\n{section}\n")[2]
    text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE).strip("\n") for block in found]


class ReadmeTests(IntegrationTestCase):
    """
    The set-up on one machine.

    Only the provider, the ports and the place of the programs differ from what a reader types.
    """

    def setUp(self) -> None:
        """A checkout's folder, with the programs where the README installs them, and a running provider."""
        super().setUp()
        self.need("bash", "openssl", "npm")
        # Paths of Unix sockets are short (108 bytes), and trial's folders are not.
        self.checkout = Path(tempfile.mkdtemp(prefix="appproxy-test-"))
        self.addCleanup(shutil.rmtree, self.checkout, ignore_errors=True)
        (self.checkout / "docs").symlink_to(ROOT / "docs")
        (self.checkout / "try").mkdir()
        (self.checkout / "try" / "venv").symlink_to(PROGRAMS.parent)
        self.port, self.backend, provider, edge, connector = free_ports(5)
        self.provider_port = provider
        self.authority = TestAuthority(self.folder / "ca")
        self.own = {
            ISSUER: f"https://op.localhost:{provider}",
            "8443": str(self.port),
            "8080": str(self.backend),
            "python3 ": f"{sys.executable} ",
            "allowed_backends = ": f'metrics.listen = "127.0.0.1:{connector}"\\nallowed_backends = ',
        }
        self.metrics_of_edge = f'\n[metrics]\nlisten = "127.0.0.1:{edge}"\n'

    def commands(self) -> list[str]:
        """The README's blocks, with our own ports and provider."""
        install, *blocks = blocks_of(SECTION)
        self.assertEqual(install, INSTALL)
        for theirs, ours in self.own.items():
            self.assertTrue(any(theirs in block for block in blocks), theirs)
            blocks = [block.replace(theirs, ours) for block in blocks]
        return blocks

    def type(self, commands: str, stdin: str = "") -> str:
        """Run a block to its end."""
        return must_run(
            ("bash", "-euo", "pipefail", "-c", commands),
            cwd=self.checkout,
            stdin=stdin,
            environment=self.environment,
        )

    def open_terminal(self, name: str, commands: str) -> Running:
        """Run a block that ends with a daemon; it is there once the daemon says that it is ready."""
        command = ("bash", "-euo", "pipefail", "-c", f"cd {self.checkout}\n{commands}")
        terminal = self.start(Running(name, command, self.folder / name, self.environment))
        terminal.wait_for_line(READY)
        return terminal

    @property
    def environment(self) -> Mapping[str, str]:
        """With the programs in the path."""
        return {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}

    def register(self, advice: str) -> OidcProvider:
        """Do at the provider what C{init} says, with a client secret that was made there."""
        addresses = dict(ADDRESS.findall(advice))
        client = Client([addresses["redirect URI"]], [addresses["post-logout redirect URI"]])
        provider = OidcProvider(
            self.folder / "provider", self.authority, [client], [ADA], port=self.provider_port
        )
        self.start(provider.process)
        self.secret = client.secret
        edge = self.checkout / "try" / "edge.toml"
        trusting = edge.read_text().replace(
            "[sign_in]\n", f"[sign_in]\nca_file = {json.dumps(str(self.authority.ca_file))}\n"
        )
        edge.write_text(trusting + self.metrics_of_edge)
        return provider

    def browser(self) -> Browser:
        """A browser that went past the warning."""
        trusted = self.folder / "trusted.pem"
        own = (self.checkout / "try" / "chain.pem").read_bytes()
        trusted.write_bytes(own + self.authority.ca_file.read_bytes())
        return Browser(trusted)

    def test_one_machine(self) -> None:
        """From init to a page of the application, and out again; ^C stops both daemons in good order."""
        init, files, edge_terminal, connector_terminal = self.commands()
        provider = self.register(self.type(init))
        checked = self.type(files, stdin=self.secret)
        self.assertEqual({line.split()[0] for line in checked.splitlines()}, {"ok"}, checked)
        edge = self.open_terminal("edge", edge_terminal)
        connector = self.open_terminal("connector", connector_terminal)
        browser = self.browser()
        portal = browser.open(f"https://portal.apps.localhost:{self.port}/")
        self.assertTrue(portal.url.startswith(provider.issuer), portal.url)
        portal = browser.submit(portal, {"name": ADA.name, "password": ADA.password})
        manual = f"https://manual.apps.localhost:{self.port}/"
        self.assertIn(manual, portal.links)
        page = browser.click(portal, manual)
        self.assertEqual((page.status, page.url), (200, manual), page.text)
        self.assertIn("administrators-guide.md", page.text)
        browser.submit(browser.open(f"{manual}.appproxy/sign-out"))
        self.assertEqual(browser.fetch(manual).status, 401)
        for terminal in (connector, edge):
            os.killpg(terminal.pid, signal.SIGINT)
            self.assertEqual(terminal.wait_for_end(), 0, terminal.last_words)
        self.assertFalse(answers(self.port))


class DemoTests(IntegrationTestCase):
    """C{python -m appproxy.demo}."""

    def setUp(self) -> None:
        """Start it, and read its line."""
        super().setUp()
        (self.port,) = free_ports(1)
        command = (sys.executable, "-m", "appproxy.demo", "--port", str(self.port), "--state", "state")
        self.demo = self.start(Running("demo", command, self.folder))
        line = self.demo.wait_for_line(r"^READY (.*)$")[1]
        pairs = (pair.partition("=") for pair in line.split(" "))
        self.told = {key: urllib.parse.unquote(value) for key, _, value in pairs}

    def sign_in(self, url: str, user: str) -> tuple[Browser, Page]:
        """Open an address as one of the demo's users."""
        browser = Browser(Path(self.told["ca"]))
        page = browser.open(url)
        self.assertTrue(page.url.startswith(self.told["issuer"]), page.url)
        return browser, browser.submit(page, {"user": user, "password": self.told["password"]})

    def test_everything_that_it_tells(self) -> None:
        """Each address of the READY line works, for the users it is for."""
        told = self.told
        browser, portal = self.sign_in(told["portal"], told["user"])
        self.assertEqual(portal.status, 200)
        for name in ("app", "chat"):
            self.assertIn(told[name], portal.links)
            self.assertEqual(browser.click(portal, told[name]).status, 200, name)
        self.assertIn(told["user"], browser.open(told["app"]).text)
        self.upload(browser)
        self.assertEqual(len(browser.fetch(f"{told['download']}?size=100000").body), 100_000)
        self.talk(browser)
        _, refused = self.sign_in(told["upload"].removesuffix("upload/"), told["second_user"])
        self.assertEqual(refused.status, 403)
        listed = must_run((PROGRAMS / "appproxy", "--server", told["admin"], "list", "apps"))
        self.assertIn(told["app"], listed)

    def upload(self, browser: Browser) -> None:
        """Store a file, and get it back."""
        files = self.told["upload"].removesuffix("upload/")
        browser.open(files)
        content = bytes(range(256)) * 512
        stored = browser.fetch(f"{self.told['upload']}a.bin", method="PUT", body=content)
        self.assertIn(stored.status, (200, 201), stored.text)
        self.assertEqual(browser.fetch(f"{files}stored/a.bin").body, content)

    def talk(self, browser: Browser) -> None:
        """Say something in the chat, and hear it under the name that signed in."""
        address = urllib.parse.urlsplit(self.told["websocket"])
        cookies = browser.jar.header(address.hostname or "", address.path, secure=True)
        with connect(
            self.told["websocket"],
            ssl=ssl.create_default_context(cafile=self.told["ca"]),
            origin=Origin(self.told["chat"].rstrip("/")),
            additional_headers={"Cookie": cookies},
            sock=socket.create_connection(("127.0.0.1", self.port)),
            open_timeout=30,
        ) as chat:
            chat.send("is anybody here?")
            wait_until(lambda: "is anybody here?" in str(chat.recv(timeout=30)), "the message comes back")

    def test_interrupt(self) -> None:
        """^C ends the demo with everything that it started, and what it listened on is free."""
        started = descendants(self.demo.pid)
        self.assertGreaterEqual(len(started), 2)
        self.demo.signal(signal.SIGINT)
        self.assertEqual(self.demo.wait_for_end(), 0, self.demo.last_words)
        self.assertEqual([pid for pid in started if Path(f"/proc/{pid}").exists()], [])
        self.assertFalse(answers(self.port))


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they did."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]
