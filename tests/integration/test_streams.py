"""Bodies of any size pass in both directions, and nobody keeps them."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from pathlib import Path
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.processes import Running, must_run

SIZE: Final = 1 << 30
MOST_MEMORY: Final = 150_000_000
"""Bytes for each daemon, whatever passes through it."""

PIECE: Final = bytes(range(256)) * 4096


class StreamTests(IntegrationTestCase):
    """curl sends and fetches 1 GiB while somebody else's download stands still."""

    def setUp(self) -> None:
        """Publish a passthrough application."""
        super().setUp()
        self.need("curl")
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.edge = self.site.start_edge()
        self.site.publish(
            {"open": {"internal_url": self.echo.internal_url, "pre_authentication": "passthrough"}}
        )
        self.connector = self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])

    def curl(self, *arguments: str | Path) -> str:
        """Run curl at the edge, which must be content."""
        host = f"open.{self.site.domain}:{self.site.port}:127.0.0.1"
        return must_run(
            ("curl", "-sS", "--fail", "--cacert", self.site.authority.ca_file, "--resolve", host, *arguments),
            seconds=240,
        )

    def stalled_download(self) -> None:
        """A client that asks for much and reads nothing."""
        context = ssl.create_default_context(cafile=self.site.authority.ca_file)
        plain = socket.create_connection(("127.0.0.1", self.site.port))
        name = f"open.{self.site.domain}"
        stalled = context.wrap_socket(plain, server_hostname=name)
        self.addCleanup(stalled.close)
        stalled.sendall(f"GET /bytes/{SIZE} HTTP/1.1\r\nHost: {name}:{self.site.port}\r\n\r\n".encode())
        stalled.recv(1000)

    def assert_small(self, *daemons: Running) -> None:
        """Neither daemon has ever held much."""
        for daemon in daemons:
            self.assertLess(daemon.peak_memory, MOST_MEMORY, daemon.name)

    def test_download(self) -> None:
        """
        A download of 1 GiB arrives whole beside a stalled one, in flat memory.

        Security row 31.
        """
        self.stalled_download()
        counted = self.curl(
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download}",
            self.site.url("open", f"/bytes/{SIZE}"),
        )
        self.assertEqual(int(counted), SIZE)
        self.assert_small(self.edge, self.connector)

    def test_upload(self) -> None:
        """An upload of 1 GiB arrives whole, byte by byte, beside a stalled download, in flat memory."""
        self.stalled_download()
        digest = hashlib.sha256()
        path = self.folder / "upload"
        with path.open("wb") as file:
            for _ in range(SIZE // len(PIECE)):
                digest.update(PIECE)
                file.write(PIECE)
        self.addCleanup(path.unlink)
        seen = json.loads(self.curl("--upload-file", path, self.site.url("open", "/upload")))
        self.assertEqual((seen["method"], seen["body_size"]), ("PUT", SIZE))
        self.assertEqual(seen["body_sha256"], digest.hexdigest())
        self.assert_small(self.edge, self.connector)

    def test_chunked_upload(self) -> None:
        """A body without a length is told its end by the end, and arrives whole."""
        path = self.folder / "piece"
        path.write_bytes(PIECE * 3)
        seen = json.loads(
            self.curl(
                "--upload-file", path, "--header", "Transfer-Encoding: chunked", self.site.url("open", "/")
            )
        )
        self.assertEqual(seen["body_sha256"], hashlib.sha256(PIECE * 3).hexdigest())
        self.assertEqual(seen["body_size"], len(PIECE) * 3)
