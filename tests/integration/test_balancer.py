"""A balancer, HAProxy, before the edge: it says whose each connection is."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Final

from appproxy.demo.ports import free_ports
from tests.integration.support.attacker import Wire
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.processes import Running
from tests.prepare import find_command

BALANCER: Final = "127.0.0.2"
CLIENT: Final = "127.0.0.9"
SECONDS: Final = 10.0

CONFIGURATION: Final = """\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen first
    bind 127.0.0.1:{first}
    server edge 127.0.0.1:{edge} source {balancer} send-proxy
listen second
    bind 127.0.0.1:{second}
    server edge 127.0.0.1:{edge} source {balancer} send-proxy-v2 proxy-v2-options unique-id,crc32c
listen silent
    bind 127.0.0.1:{silent}
    server edge 127.0.0.1:{edge} source {balancer}
"""


class BalancerTests(IntegrationTestCase):
    """
    Who is believed, and what is believed of them.

    Security row 4.
    """

    def setUp(self) -> None:
        """An application for everybody, an edge that believes one balancer, and that balancer."""
        super().setUp()
        self.need("haproxy")
        echo = Echo(self.folder / "echo")
        self.start(echo.process)
        self.site = Installation(self, settings={"listen": {"proxy_protocol_from": [f"{BALANCER}/32"]}})
        self.site.start_edge()
        self.site.publish({"open": {"internal_url": echo.internal_url, "pre_authentication": "passthrough"}})
        self.site.start_connector("hq", [f"127.0.0.1:{echo.port}"])
        self.start_balancer()

    def start_balancer(self) -> None:
        """HAProxy, which sends version 1, version 2 and no header."""
        self.first, self.second, self.silent = free_ports(3)
        file = Path(self.folder, "haproxy.cfg")
        file.write_text(
            CONFIGURATION.format(
                first=self.first,
                second=self.second,
                silent=self.silent,
                edge=self.site.port,
                balancer=BALANCER,
            )
        )
        command = (find_command("haproxy") or "haproxy", "-db", "-f", file)
        process = self.start(Running("haproxy", command, self.folder))
        process.wait_for_port(self.first)

    def ask(self, port: int, source: str = CLIENT) -> dict[str, list[str]]:
        """The headers that the application got, by name."""
        host = f"open.{self.site.domain}"
        with Wire(port, self.site.authority.ca_file, host, source=source) as wire:
            answer = wire.ask(f"{host}:{self.site.port}", headers=[(b"X-Forwarded-For", b"192.0.2.66")])
        self.assertEqual(answer.status, 200)
        found: dict[str, list[str]] = {}
        for name, value in json.loads(answer.body)["headers"]:
            found.setdefault(name.lower(), []).append(value)
        return found

    def access_lines(self) -> list[dict[str, Any]]:
        """The edge's access log."""
        lines = [json.loads(line) for line in self.site.edge.text.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == "access"]

    def test_client(self) -> None:
        """Application and log get the client's address, by either version, whatever the client says."""
        for port in (self.first, self.second):
            self.assertEqual(self.ask(port)["x-forwarded-for"], [CLIENT])
        self.site.edge.stop()
        self.assertEqual([line["client_address"] for line in self.access_lines()], [CLIENT] * 2)

    def test_directly(self) -> None:
        """Who does not come through the balancer needs no header, and is not believed one."""
        self.assertEqual(self.ask(self.site.port, "127.0.0.7")["x-forwarded-for"], ["127.0.0.7"])
        with socket.create_connection(("127.0.0.1", self.site.port), SECONDS, ("127.0.0.7", 0)) as plain:
            plain.sendall(b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 443\r\n")
            self.assertIn(b"400 Bad Request", plain.recv(100))

    def test_silent_balancer(self) -> None:
        """A listed balancer that sends no header is cut off, and the log says what to look at."""
        with socket.create_connection(("127.0.0.1", self.silent), SECONDS) as plain:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01")
            self.assertEqual(plain.recv(100), b"")
        self.site.edge.wait_for_line(f"proxy_header_missing.*{BALANCER}|{BALANCER}.*proxy_header_missing")
