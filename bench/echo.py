"""
C{python -m bench.echo PORT}: an application with WebSockets.

It answers an upgrade with an echo of every message, C{/large} with 1 GiB, anything else with 1 KiB.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any, Final

from bench.files import raise_limit
from bench.websocket_frames import accept_key, pack, unpack

SMALL: Final = 1 << 10
LARGE: Final = 1 << 30
UNSENT: Final = 128 << 10
"""
Bytes the kernel takes ahead of a reader. Elsewhere the application has a machine, and the memory of a kernel
for TCP, of its own; here megabytes for each of hundreds of stalled readers would slow down everybody.
"""

_PIECE: Final = bytes(64 << 10)
_END: Final = b"\r\n\r\n"
_KEY: Final = b"sec-websocket-key:"


class Application(asyncio.Protocol):
    """One connection."""

    _transport: Any

    def __init__(self) -> None:
        self._buffer = b""
        self._upgraded = False
        self._left = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = transport
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            plain = self._transport.get_extra_info("socket")
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def data_received(self, data: bytes) -> None:
        """A part of a request or of a message."""
        self._buffer += data
        if self._upgraded:
            self._echo()
            return
        while not self._upgraded and not self._left and _END in self._buffer:
            head, _, self._buffer = self._buffer.partition(_END)
            self._answer(head)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._paused = True

    def resume_writing(self) -> None:
        """It goes on."""
        self._paused = False
        self._send_more()

    def _answer(self, head: bytes) -> None:
        key = key_of(head)
        if key:
            self._upgraded = True
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key) + _END
            )
            self._echo()
            return
        self._left = LARGE if head.split(b" ", 2)[1].startswith(b"/large") else SMALL
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._left)
        self._send_more()

    def _send_more(self) -> None:
        while self._left and not self._paused:
            piece = _PIECE[: self._left]
            self._left -= len(piece)
            self._transport.write(piece)

    def _echo(self) -> None:
        payloads, self._buffer = unpack(self._buffer)
        if payloads:
            self._transport.write(b"".join(map(pack, payloads)))


def key_of(head: bytes) -> bytes:
    """The Sec-WebSocket-Key; empty if none is there."""
    for line in head.split(b"\r\n"):
        if line.lower().startswith(_KEY):
            return line[len(_KEY) :].strip()
    return b""


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Application, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Until it is killed."""
    raise_limit()
    asyncio.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
