"""
C{python -m tests.integration.support.echo PORT}: a backend that answers with what it received.

C{GET /bytes/N} answers with N bytes. Everything else: JSON of method, target, headers and body's digest.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tests.integration.support.module_backend import ModuleBackend

PIECE: Final = 1 << 16
SHOWN_BODY: Final = 1000


class Handler(BaseHTTPRequestHandler):
    """Answers any method."""

    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        """Read a request and answer it, whatever its method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        if self.path.startswith("/bytes/"):
            self._send_bytes(int(self.path.removeprefix("/bytes/")))
        else:
            self._send_echo()
        self.wfile.flush()

    def _send_echo(self) -> None:
        size, digest, start = 0, hashlib.sha256(), b""
        for piece in self._body():
            size += len(piece)
            digest.update(piece)
            start = (start + piece)[:SHOWN_BODY] if len(start) < SHOWN_BODY else start
        answer = {
            "method": self.command,
            "target": self.path,
            "headers": [[name, value] for name, value in self.headers.items()],
            "body_size": size,
            "body_sha256": digest.hexdigest(),
            "body_start": start.decode("latin-1"),
        }
        content = json.dumps(answer).encode()
        self._head("application/json", len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_bytes(self, size: int) -> None:
        self._head("application/octet-stream", size)
        piece = bytes(range(256)) * (PIECE // 256)
        while size > 0 and self.command != "HEAD":
            self.wfile.write(piece[:size])
            size -= len(piece)

    def _head(self, kind: str, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            yield from self._chunks()
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left > 0:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Echo(ModuleBackend):
    """The backend as a process."""

    module = "echo"


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
