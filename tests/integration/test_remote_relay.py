"""Edge, relay and connector as three daemons: the edge and the connector dial the relay."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from typing import Any, Final

from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import PROGRAMS, Installation
from tests.integration.support.oidc_provider import ADA
from tests.integration.support.processes import Running, wait_until

LARGE: Final = 1 << 28
MOST_MEMORY: Final = 150_000_000
"""Bytes for each daemon, whatever passes through it."""


class RemoteRelayTests(IntegrationTestCase):
    """A relay that enrolled at the edge, which then uses it."""

    def setUp(self) -> None:
        """Publish an application for Ada, and one for everybody, on a connector behind the relay."""
        super().setUp()
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        self.relay, self.relay_port = self.site.start_relay()
        self.site.restart_edge({"relay": {"mode": "remote", "dial": [f"127.0.0.1:{self.relay_port}"]}})
        self.applications: dict[str, dict[str, Any]] = {
            "echo": {
                "internal_url": self.echo.internal_url,
                "users": ["ada@example.com"],
                "sso": {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}},
            },
            "open": {"internal_url": self.echo.internal_url, "pre_authentication": "passthrough"},
        }
        self.site.publish(self.applications)
        self.connector = self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])
        self.wait_for_tunnels(1)

    def tunnels(self) -> list[dict[str, Any]]:
        """The connectors' tunnels as the edge's status has them."""
        rows: list[dict[str, Any]] = self.site.appproxy_json("status")["tunnels"]
        return [row for row in rows if row["role"] == "connector"]

    def wait_for_tunnels(self, count: int) -> None:
        """Wait until the edge knows of so many connectors."""
        wait_until(lambda: len(self.tunnels()) == count, f"{count} tunnels")

    def open(self, browser: Browser | None = None, path: str = "/") -> Page:
        """Open the application that is for everybody."""
        return (browser or self.site.browser()).open(self.site.url("open", path))

    def test_user_arrives(self) -> None:
        """The application behind the relay gets the user who signed in at the edge, until sign-out."""
        browser = self.site.browser()
        page = self.site.sign_in(browser, self.site.url("echo", "/a?b=c"), ADA)
        self.assertEqual(page.status, 200, page.text)
        headers = {name.lower(): value for name, value in json.loads(page.text)["headers"]}
        self.assertEqual(headers["x-remote-user"], "ada@example.com")
        browser.submit(browser.open(self.site.url("echo", "/.appproxy/sign-out")))
        self.assertEqual(browser.fetch(self.site.url("echo")).status, 401)

    def test_bodies(self) -> None:
        """Large bodies pass in both directions, whole."""
        browser, size = self.site.browser(), 5_000_000
        page = self.open(browser, f"/bytes/{size}")
        self.assertEqual(len(page.body), size)
        body = bytes(range(256)) * 8192
        sent = browser.fetch(self.site.url("open", "/up"), method="POST", body=body)
        seen = json.loads(sent.text)
        self.assertEqual(
            (seen["body_size"], seen["body_sha256"]), (len(body), hashlib.sha256(body).hexdigest())
        )

    def test_flat_memory(self) -> None:
        """A large download passes beside one that nobody reads, and no daemon keeps either."""
        context = ssl.create_default_context(cafile=self.site.authority.ca_file)
        plain = socket.create_connection(("127.0.0.1", self.site.port))
        name = f"open.{self.site.domain}"
        stalled = context.wrap_socket(plain, server_hostname=name)
        self.addCleanup(stalled.close)
        stalled.sendall(f"GET /bytes/{1 << 30} HTTP/1.1\r\nHost: {name}:{self.site.port}\r\n\r\n".encode())
        stalled.recv(1000)
        self.assertEqual(len(self.open(path=f"/bytes/{LARGE}").body), LARGE)
        for daemon in (self.site.edge, self.relay, self.connector):
            self.assertLess(daemon.peak_memory, MOST_MEMORY, daemon.name)

    def test_changes_are_live(self) -> None:
        """When apply has ended, the connector behind the relay serves the change, and the edge knows that."""
        self.applications["open"]["name"] = "Renamed"
        self.applications["other"] = self.applications["open"] | {"name": "Other"}
        self.site.publish(self.applications)
        page = self.site.browser().open(self.site.url("other"))
        self.assertEqual(page.status, 200)
        status = self.site.appproxy_json("status")
        self.assertEqual([row["revision"] for row in self.tunnels()], [status["catalog_revision"]])

    def test_revoked_connector(self) -> None:
        """
        A connector that is deleted at the edge is thrown out of the relay.

        Security row 36.
        """
        (row,) = self.tunnels()
        self.site.appproxy("delete", "connector", row["name"], "--yes")
        self.wait_for_tunnels(0)
        self.assertEqual(self.open().status, 504)

    def test_relay_restarts(self) -> None:
        """After the relay's restart edge and connector come back by themselves."""
        self.relay.stop()
        self.assertEqual(self.open().status, 504)
        folder = self.site.folder
        command = (PROGRAMS / "twistd", "-n", "appproxy-relay", "--config", folder / "relay.toml")
        self.start(Running("relay-again", command, folder / "relay"))
        self.wait_for_tunnels(1)
        self.assertEqual(self.open().status, 200)

    def test_edge_restarts(self) -> None:
        """The connector's tunnel outlives the edge, which finds it again."""
        since = self.tunnels()[0]["since"]
        self.site.restart_edge()
        self.wait_for_tunnels(1)
        self.assertEqual(self.tunnels()[0]["since"], since)
        self.assertEqual(self.open().status, 200)

    def test_edge_takes_no_tunnels(self) -> None:
        """Connectors were told to dial the relay alone: the edge has no tunnel of theirs."""
        self.assertNotIn(str(self.site.port), self.enrolled_addresses())
        self.assertEqual(self.enrolled_addresses(), [f"127.0.0.1:{self.relay_port}"])

    def enrolled_addresses(self) -> list[str]:
        """What the connector dials."""
        path = self.site.folder / "connector" / "identity" / "enrolment.json"
        addresses: list[str] = json.loads(path.read_text())["addresses"]
        return addresses
