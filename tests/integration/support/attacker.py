"""
What an attacker has: raw bytes on a TLS connection, and a backend that says whatever it likes.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Final

SECONDS: Final = 20.0
SILENT: Final = b"/silent"
"""What L{HostileBackend} never answers."""

ENDLESS: Final = b"/endless"
"""What it answers without end."""

Pairs = list[tuple[bytes, bytes]]
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """
    An answer as it stood on the wire.

    @ivar raw_head: all of its head.
    @ivar whole: whether all of its body came.
    """

    status: int
    headers: Pairs
    body: bytes
    raw_head: bytes
    whole: bool = True

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for other, value in self.headers if other.lower() == name.lower()]

    @property
    def seen(self) -> Seen:
        """What L{HostileBackend} received, as its echo tells it."""
        told = json.loads(self.body)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told["headers"]]
        return Seen(told["line"].encode("latin-1"), headers, told["body"].encode("latin-1"))


@dataclass(frozen=True)
class Seen:
    """
    A request as a backend received it.

    @ivar line: the request line.
    """

    line: bytes
    headers: Pairs
    body: bytes = b""

    @property
    def target(self) -> bytes:
        """What was asked for."""
        return self.line.split(b" ")[1]

    @property
    def cgi(self) -> dict[str, list[bytes]]:
        """
        The headers as CGI, WSGI and PHP know them: hyphens, underscores, dots and case make no difference.
        """
        variables: dict[str, list[bytes]] = {}
        for name, value in self.headers:
            plain = "".join(each if each.isalnum() else "_" for each in name.decode("latin-1").upper())
            variables.setdefault(plain, []).append(value)
        return variables


def _read_head(file: BufferedIOBase) -> tuple[bytes, Pairs, bytes]:
    first = file.readline()
    raw, headers = first, []
    while (line := file.readline()) not in (b"\r\n", b"\n", b""):
        raw += line
        name, _, value = line.partition(b":")
        headers.append((name, value.strip()))
    return first.rstrip(b"\r\n"), headers, raw


def _read_body(file: BufferedIOBase, headers: Pairs, *, until_end: bool) -> tuple[bytes, bool]:
    """A body, and whether all of it came."""
    known = {name.lower(): value for name, value in headers}
    try:
        if b"chunked" in known.get(b"transfer-encoding", b""):
            return _read_chunks(file)
        if b"content-length" in known:
            length = int(known[b"content-length"])
            body = file.read(length)
            return body, len(body) == length
        return (file.read() if until_end else b""), True
    except OSError:
        return b"", False


def _read_chunks(file: BufferedIOBase) -> tuple[bytes, bool]:
    body = b""
    try:
        while size := int(file.readline().partition(b";")[0], 16):
            body += file.read(size)
            file.readline()
        while (line := file.readline()) not in (b"\r\n", b""):
            pass
    except ValueError:
        return body, False
    return body, bool(line)


class Wire:
    """One TLS connection to the edge, on which anything may be written."""

    def __init__(
        self,
        port: int,
        ca_file: Path,
        server_name: str | None,
        *,
        alpn: tuple[str, ...] = (),
        certificate: Path | None = None,
        verify: bool = True,
        source: str = "127.0.0.1",
    ) -> None:
        """
        Connect and shake hands.

        @param server_name: of the handshake; L{None} for none.
        @param certificate: a PEM file with key and chain to show.
        @param source: the loopback address to come from.
        """
        context = ssl.create_default_context(cafile=ca_file)
        context.check_hostname = verify and server_name is not None
        if not verify:
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate is not None:
            context.load_cert_chain(certificate)
        plain = socket.create_connection(("127.0.0.1", port), SECONDS, (source, 0))
        try:
            self.socket = context.wrap_socket(plain, server_hostname=server_name)
        except BaseException:
            plain.close()
            raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write; an edge that has hung up meanwhile is no surprise."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def answer(self, *, head_only: bool = False) -> Answer | None:
        """The next answer; L{None} if the edge hung up instead."""
        try:
            first, headers, raw = _read_head(self._file)
        except OSError:
            return None
        if not first:
            return None
        status = int(first.split(b" ")[1])
        bare = head_only or status < 200 or status in (204, 304)
        body, whole = (b"", True) if bare else _read_body(self._file, headers, until_end=True)
        return Answer(status, headers, body, raw, whole)

    def half_close(self) -> None:
        """Say, below TLS, that nothing more will be sent."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def close_notify(self) -> None:
        """
        Say by TLS that nothing more will be sent (RFC 8446, section 6.1), and wait until the edge says so.

        @raise ssl.SSLError: if it says something else.
        """
        try:
            self.socket.unwrap()
        except ConnectionError:
            pass

    def rest(self) -> bytes:
        """All that comes until the edge hangs up."""
        data = b""
        try:
            while piece := self._file.read1(1 << 16):
                data += piece
        except OSError:
            pass
        return data

    def ask(
        self, host: str, target: str = "/", method: str = "GET", headers: Headers = (), body: bytes = b""
    ) -> Answer:
        """
        Send one request, and wait for its answer.

        @param headers: besides Host; nothing is added to them but the body's length.
        """
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"Host: " + host.encode()]
        lines += [name + b": " + value for name, value in headers]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        self.send(b"\r\n".join([*lines, b"", body]))
        answer = self.answer(head_only=method == "HEAD")
        assert answer is not None, f"no answer to {method} {target}"
        return answer


@dataclass
class HostileBackend:
    """
    An application that somebody took over.

    It writes down every connection and request. It answers a path of C{answers} with these
    very bytes, L{SILENT} not at all, L{ENDLESS} without end, all others with JSON of what it received.

    @ivar begun: the targets of all heads, in the order in which they came.
    @ivar seen: the requests that came to their end.
    @ivar broken: the targets of those that did not, or whose answer nobody wanted any more.
    @ivar connections: how many came.
    """

    answers: dict[bytes, bytes] = field(default_factory=dict)
    begun: list[bytes] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    broken: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        """Listen."""
        backend = self

        class Handler(socketserver.StreamRequestHandler):
            """One connection."""

            def handle(self) -> None:
                backend.connections += 1
                while backend.serve(self.rfile, self.wfile):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            """Ends with the tests."""

            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """A connection that broke off is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def internal_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self, reader: BufferedIOBase, writer: BufferedIOBase) -> bool:
        """One request; whether another may follow."""
        line, headers, _ = _read_head(reader)
        if line.count(b" ") != 2:
            return False
        self.begun.append(line.split(b" ")[1])
        body, whole = _read_body(reader, headers, until_end=False)
        if not whole:
            self.broken.append(line.split(b" ")[1])
            return False
        seen = Seen(line, headers, body)
        self.seen.append(seen)
        if seen.target in (SILENT, ENDLESS):
            _never_done(reader, writer, answers=seen.target == ENDLESS)
            self.broken.append(seen.target)
            return False
        canned = self.answers.get(seen.target.partition(b"?")[0])
        if canned is not None:
            writer.write(canned)
            return False
        told = {
            "line": line.decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers],
            "body": body.decode("latin-1"),
        }
        text = json.dumps(told).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
        writer.write(head if line.startswith(b"HEAD ") else head + text)
        return True


def _never_done(reader: BufferedIOBase, writer: BufferedIOBase, *, answers: bool) -> None:
    """Go on until the other side ends the connection."""
    try:
        if not answers:
            reader.read(1)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 0x400 + b"\r\n")
    except OSError:
        return
