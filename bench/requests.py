"""
Requests of this benchmark's own clients, which do what a load generator does not: download for a while,
keep to a schedule, stop reading.
"""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

SECONDS: Final = 60.0
"""For one answer's next bytes: whoever waits longer waits in vain."""


@dataclass(frozen=True)
class Target:
    """
    Who is asked, and for what.

    @ivar address: where to connect to; C{host} is only told.
    @ivar cookie: the value of a Cookie header; empty for none.
    @ivar tls: whether it speaks TLS.
    """

    port: int
    host: str
    path: str
    cookie: str = ""
    address: str = "127.0.0.1"
    tls: bool = True

    def request(self, *headers: str) -> bytes:
        """The bytes of a GET."""
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Accept: */*", *headers]
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def write(self, path: Path) -> Path:
        """A file for L{read_target}: a cookie does not belong on a command line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_text(json.dumps(asdict(self)))
        return path


def read_target(path: str) -> Target:
    """What L{Target.write} wrote."""
    return Target(**json.loads(Path(path).read_text()))


@lru_cache(maxsize=1)
def client_context() -> ssl.SSLContext:
    """
    TLS as clients do it; whom they talk to is not what is measured.

    One for a process, as browsers have it: to make one takes longer than to connect.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(target: Target, receive_buffer: int = 0) -> ssl.SSLSocket:
    """
    A connection that blocks.

    @param receive_buffer: bytes that the kernel keeps for a client that does not read; 0: it decides.
    """
    plain = socket.socket()
    plain.settimeout(SECONDS)
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.connect((target.address, target.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client_context().wrap_socket(plain, server_hostname=target.host)


def check_status(head: bytes, status: int = 200) -> None:
    """
    @raise RuntimeError: if an answer's head is of another status.
    """
    if not head.startswith(b"HTTP/1.1 %d" % status):
        raise RuntimeError(f"not the answer that was expected: {head[:300]!r}")
