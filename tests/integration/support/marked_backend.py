"""
C{python -m tests.integration.support.marked_backend PORT}: an application whose every answer names its asker.

Each request carries a text of its own in C{X-Mark}. C{GET /down/SIZE} answers with that text again and again,
with a length or (C{?chunked}) in chunks; C{GET /active} with the number of requests under way; an upgrade
with an echo of every message, after a first one that names user and mark; everything else with JSON of
user, mark and the body's digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from asyncio import StreamReader, StreamWriter
from typing import Final

from bench.files import raise_limit
from bench.websocket_frames import accept_key, pack, unpack
from tests.integration.support.module_backend import ModuleBackend

PIECE: Final = 16 << 10
BACKLOG: Final = 1024
USER_HEADER: Final = "X-Remote-User"


def marked_bytes(mark: str, size: int) -> bytes:
    """So many bytes that belong to a mark alone."""
    unit = f"<{mark}>".encode()
    return (unit * (size // len(unit) + 1))[:size]


class _Gone(Exception):
    """The client hung up."""


class _Application:
    """All connections together."""

    def __init__(self) -> None:
        self.active = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, _Gone):
            pass
        finally:
            writer.close()

    async def _one(self, reader: StreamReader, writer: StreamWriter) -> bool:
        line, headers = await _head(reader)
        if not line:
            return False
        target = line.split(" ")[1]
        if target == "/active":
            _answer(writer, str(self.active).encode())
            return True
        self.active += 1
        try:
            return await self._answer(target, headers, reader, writer)
        finally:
            self.active -= 1

    async def _answer(
        self, target: str, headers: dict[str, str], reader: StreamReader, writer: StreamWriter
    ) -> bool:
        if "sec-websocket-key" in headers:
            await _echo_messages(headers, reader, writer)
            return False
        if target.startswith("/down/"):
            await _download(target, headers["x-mark"], writer)
            return True
        size, digest = await _body(headers, reader)
        told = {
            "user": headers.get(USER_HEADER.lower()),
            "mark": headers.get("x-mark"),
            "cookie": "cookie" in headers,
            "size": size,
            "sha256": digest,
        }
        _answer(writer, json.dumps(told).encode())
        await writer.drain()
        return True


async def _head(reader: StreamReader) -> tuple[str, dict[str, str]]:
    first = (await reader.readline()).decode("latin-1")
    headers: dict[str, str] = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return first.strip(), headers


async def _body(headers: dict[str, str], reader: StreamReader) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    if "chunked" in headers.get("transfer-encoding", ""):
        while count := int(await reader.readuntil(b"\n"), 16):
            digest.update(await reader.readexactly(count))
            size += count
            await reader.readline()
        await reader.readline()
        return size, digest.hexdigest()
    left = int(headers.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, PIECE))
        if not piece:
            raise _Gone
        digest.update(piece)
        size, left = size + len(piece), left - len(piece)
    return size, digest.hexdigest()


def _answer(writer: StreamWriter, content: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))


async def _download(target: str, mark: str, writer: StreamWriter) -> None:
    size_text, _, chunked = target.removeprefix("/down/").partition("?")
    content = marked_bytes(mark, int(size_text))
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(content)
    writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    for start in range(0, len(content), PIECE):
        piece = content[start : start + PIECE]
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _echo_messages(headers: dict[str, str], reader: StreamReader, writer: StreamWriter) -> None:
    accept = accept_key(headers["sec-websocket-key"].encode())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    writer.write(pack(f"{headers.get(USER_HEADER.lower())} {headers.get('x-mark')}".encode()))
    rest = b""
    while data := await reader.read(PIECE):
        messages, rest = unpack(rest + data)
        writer.write(b"".join(map(pack, messages)))
        await writer.drain()


class MarkedBackend(ModuleBackend):
    """The application as a process."""

    module = "marked_backend"


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_Application().serve, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    raise_limit()
    asyncio.run(_serve(int(sys.argv[1])))
