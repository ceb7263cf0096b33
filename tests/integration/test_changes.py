"""What an administrator changes is in force at once, open streams included."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from base64 import b64encode
from typing import Final

from tests.integration.support.browser import Browser
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import PROGRAMS, Installation
from tests.integration.support.oidc_provider import ADA
from tests.integration.support.processes import run

MOST_SECONDS: Final = 2.0
"""The promise of C{apply}; it is the product's own clock that says how long it took."""

PATIENCE_SECONDS: Final = 60.0
"""For a download to break off: what was under way in sockets and queues comes first, on a busy machine."""


class ChangeTests(IntegrationTestCase):
    """One edge with one connector, whose catalog changes."""

    def setUp(self) -> None:
        """Publish one application for Ada."""
        super().setUp()
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        self.site.publish({"echo": self.settings()})
        self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])

    def settings(self, **changes: object) -> dict[str, object]:
        """The application's."""
        return {"internal_url": self.echo.internal_url, "users": ["ada@example.com"], **changes}

    def endless_download(self, browser: Browser) -> ssl.SSLSocket:
        """A download under way, of more than will ever be read."""
        host = f"echo.{self.site.domain}"
        cookie = "; ".join(f"{name}={value}" for name, value in browser.jar.of(host).items())
        context = ssl.create_default_context(cafile=self.site.authority.ca_file)
        plain = socket.create_connection(("127.0.0.1", self.site.port), 30)
        reader = context.wrap_socket(plain, server_hostname=host)
        self.addCleanup(reader.close)
        head = f"GET /bytes/{1 << 40} HTTP/1.1\r\nHost: {host}:{self.site.port}\r\nCookie: {cookie}"
        reader.sendall(f"{head}\r\n\r\n".encode())
        self.assertTrue(reader.recv(100).startswith(b"HTTP/1.1 200"))
        return reader

    def assert_breaks_off(self, reader: ssl.SSLSocket) -> None:
        """The download ends although there is no end to it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        reader.settimeout(PATIENCE_SECONDS)
        try:
            while reader.recv(1 << 20):
                self.assertLess(time.monotonic(), deadline, "the download goes on")
        except (ConnectionError, ssl.SSLError):
            return

    def test_live_when_apply_returns(self) -> None:
        """
        Once C{apply} is done the new application answers, and it was done within two seconds.

        Security row 10.
        """
        document = {
            "format": 1,
            "connector_groups": {"hq": {"name": "HQ"}},
            "applications": {
                "second": {
                    "name": "Second",
                    "external_url": self.site.url("second"),
                    "internal_url": self.echo.internal_url,
                    "connector_group": "hq",
                    "pre_authentication": "passthrough",
                }
            },
        }
        path = self.site.write("second", document)
        said = self.site.appproxy_json("apply", str(path), "--yes")
        page = self.site.browser().open(self.site.url("second"))
        self.assertEqual(page.status, 200)
        self.assertEqual((said["live"], said["behind"]), (True, []))
        self.assertLess(said["live_seconds"], MOST_SECONDS)

    def test_five_mistakes(self) -> None:
        """A file with five mistakes is told all five, with their lines, and changes nothing."""
        before = self.site.appproxy("export")
        path = self.folder / "mistakes.toml"
        path.write_text(
            "format = 1\n"
            "[applications.bad]\n"
            'name = ""\n'
            'external_url = "ftp://bad.example.com/"\n'
            'internal_url = "http://inside.example/page"\n'
            'connector_group = "nowhere"\n'
            "everyone = true\n"
            'backend_timout = "85s"\n'
        )
        command = (PROGRAMS / "appproxy", "--server", self.site.admin, "apply", path, "--yes")
        done = run(command)
        self.assertEqual(done.returncode, 3, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith(str(path))]
        places = [line.removeprefix(str(path)).split(":")[1] for line in lines]
        self.assertEqual(places, ["3", "4", "5", "6", "8"], done.stderr)
        self.assertIn("backend_timeout", lines[-1])
        self.assertEqual(self.site.appproxy("export"), before)

    def test_removed_application(self) -> None:
        """
        An application that is removed ends its downloads, and its address is unknown.

        Security row 10.
        """
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("echo"), ADA)
        reader = self.endless_download(browser)
        self.site.appproxy("delete", "application", "echo", "--yes")
        self.assert_breaks_off(reader)
        self.assertEqual(browser.open(self.site.url("echo")).status, 404)

    def test_sign_out_ends_streams(self) -> None:
        """
        Signing out breaks off the session's open downloads within a second or two.

        Security row 19.
        """
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("echo"), ADA)
        reader = self.endless_download(browser)
        browser.submit(browser.open(self.site.url("echo", "/.appproxy/sign-out")))
        self.assert_breaks_off(reader)

    def signed_in(self) -> Browser:
        """Ada, with a new browser."""
        browser = self.site.browser()
        self.assertEqual(self.site.sign_in(browser, self.site.url("echo"), ADA).status, 200)
        return browser

    def assert_signed_out(self, *browsers: Browser) -> None:
        """The edge knows none of them."""
        for browser in browsers:
            page = browser.fetch(self.site.url("echo", "/.appproxy/session"))
            self.assertEqual(page.status, 401, page.text)

    def test_administrator_ends_sessions(self) -> None:
        """
        An administrator ends a user's sessions, everybody's, or replaces the keys of all cookies: streams
        break off, cookies are worthless, and each time one can sign in again. The audit log says so.

        Security row 19.
        """
        laptop, phone = self.signed_in(), self.signed_in()
        reader = self.endless_download(laptop)
        self.assertEqual(
            [row["user"] for row in self.site.appproxy_json("session", "list", "--user", "ada@example.com")],
            ["ada@example.com"] * 2,
        )
        for command in (
            ("session", "end", "--user", "ada@example.com"),
            ("session", "end", "--all"),
            ("keys", "rotate"),
        ):
            self.assertEqual(self.site.appproxy_json(*command, "--yes"), {"ended": 2})
            self.assert_breaks_off(reader)
            self.assert_signed_out(laptop, phone)
            self.assertEqual(self.site.appproxy_json("session", "list"), [])
            laptop, phone = self.signed_in(), self.signed_in()
            reader = self.endless_download(laptop)
        lines = [json.loads(line) for line in self.site.edge.text.splitlines() if line.startswith("{")]
        audits = [line for line in lines if line["event"] == "audit"]
        done = [(line["action"], line["object"].partition("/")[0]) for line in audits]
        self.assertEqual(done[-4:], [("delete", "sessions")] * 3 + [("rotate", "keys")])

    def test_web_socket_of_somebody_else(self) -> None:
        """A WebSocket that another site's page opens is refused before anything reaches the application."""
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("echo"), ADA)
        page = browser.fetch(
            self.site.url("echo", "/socket"),
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": b64encode(os.urandom(16)).decode(),
                "Sec-Fetch-Mode": "websocket",
            },
            origin="https://elsewhere.example.com",
        )
        self.assertEqual((page.status, json.loads(page.text)["reason"]), (403, "foreign_origin"))

    def test_connector_comes_back(self) -> None:
        """Without its connector an application says so; with it, it works again."""
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("echo"), ADA)
        connector = self._started[-1]
        connector.stop()
        page = browser.open(self.site.url("echo"))
        self.assertEqual(page.status, 504)
        self.assertIn("GatewayTimeout", page.text)
        self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])
        self.assertEqual(browser.open(self.site.url("echo")).status, 200)
