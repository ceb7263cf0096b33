"""A connector that has no other way out than an HTTP proxy, tinyproxy, which asks who it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from appproxy.demo.ports import free_ports
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.certificates import TestAuthority
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.processes import Running
from tests.prepare import find_command

PROXY: Final = """\
Port {port}
Listen 127.0.0.1
MaxClients 20
LogLevel Connect
LogFile "{log}"
ConnectPort {edge}
BasicAuth svc s3cretword
"""

INSPECTOR: Final = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen inspector
    bind 127.0.0.1:{port} ssl crt {certificate} alpn appproxy/1
    server edge 127.0.0.1:{edge}
"""


class OutboundProxyTests(IntegrationTestCase):
    """From enrolment to the application, and what is told of what stands in the way."""

    def setUp(self) -> None:
        """An edge with an application for everybody, and a proxy with a password."""
        super().setUp()
        self.need("tinyproxy", "haproxy")
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_edge()
        open_to_all = {"internal_url": self.echo.internal_url, "pre_authentication": "passthrough"}
        self.site.publish({"open": open_to_all})
        (self.port,) = free_ports(1)
        self.log = self.folder / "tinyproxy.log"
        file = self.folder / "tinyproxy.conf"
        file.write_text(PROXY.format(port=self.port, log=self.log, edge=self.site.port))
        command = (find_command("tinyproxy") or "tinyproxy", "-d", "-c", file)
        self.start(Running("tinyproxy", command, self.folder)).wait_for_port(self.port)

    def settings(self, password: str = "s3cretword") -> dict[str, Any]:
        """The connector's way out."""
        file = Path(self.folder, f"password-{len(password)}")
        file.touch(0o600)
        file.write_text(password + "\n")
        return {"proxy": {"url": f"http://127.0.0.1:{self.port}", "username": "svc", "password_file": file}}

    def test_through(self) -> None:
        """Enrolment, tunnel and check go through the proxy; applications are asked directly."""
        connector = self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"], self.settings())
        page = self.site.browser().fetch(self.site.url("open", "/x"))
        self.assertEqual(json.loads(page.body)["target"], "/x")
        checked = self.site.appproxy_json("check", str(self.site.folder / "connector.toml"), "--online")
        tunnels = [each["verdict"] for each in checked["online"] if each["subject"] == "tunnel"]
        self.assertEqual(tunnels, ["ok"], checked)
        asked = [line for line in self.log.read_text().splitlines() if "Request" in line]
        self.assertEqual(len(asked), 3, asked)
        self.assertTrue(all(f":{self.site.port} " in line for line in asked), asked)
        connector.stop()
        self.assertNotIn("s3cretword", connector.text)

    def test_wrong_password(self) -> None:
        """A proxy that does not take the password is named with what to look at, and never the password."""
        allowed = [f"127.0.0.1:{self.echo.port}"]
        error = self.assertRaises(
            AssertionError, self.site.start_connector, "hq", allowed, self.settings("another password")
        )
        self.assertIn("does not take proxy.username with the password of proxy.password_file", str(error))
        self.assertNotIn("another password", str(error))

    def test_inspected(self) -> None:
        """Whoever opens TLS on the way gets nothing to read, and the log says what it is."""
        authority = TestAuthority(self.folder / "inspector")
        pem = self.folder / "inspector.pem"
        authority.issue(f"connect.{self.site.domain}", to=pem)
        (port,) = free_ports(1)
        file = self.folder / "inspector.cfg"
        file.write_text(INSPECTOR.format(port=port, certificate=pem, edge=self.site.port))
        command = (find_command("haproxy") or "haproxy", "-db", "-f", file)
        self.start(Running("haproxy", command, self.folder)).wait_for_port(port)
        allowed = [f"127.0.0.1:{self.echo.port}"]
        connector = self.site.start_connector("hq", allowed, {"connect": [f"127.0.0.1:{port}"]})
        connector.wait_for_line("inspects TLS, have it leave this host out")
