"""
C{python -m bench.chatter TARGETS}: WebSockets that each send a message, wait until it comes back, and send
the next one.

One thread on C{epoll}, since what it does not use is left for those who are measured.
"""

from __future__ import annotations

import argparse
import json
import select
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.crowd import upgraded
from bench.files import raise_limit
from bench.latencies import in_milliseconds
from bench.requests import Target
from bench.websocket_frames import pack

_MASK: Final = b"\x5a\x11\xc3\x78"
_READ: Final = 16 << 10
_PATIENCE: Final = 10.0


class Chatter:
    """
    One connection.

    @ivar latencies: seconds from each message to its echo.
    """

    def __init__(self, connection: ssl.SSLSocket, size: int) -> None:
        payload = b"m" * size
        self._connection = connection
        self._message = pack(payload, _MASK)
        self._expected = len(pack(payload))
        self._received = 0
        self._sent_at = 0.0
        self.latencies: list[float] = []

    def send(self) -> None:
        """Send the next message; the socket always has room for one."""
        self._sent_at = time.monotonic()
        self._connection.send(self._message)

    def receive(self) -> bool:
        """
        Read what came.

        @return: whether the echo is complete.
        @raise RuntimeError: if the connection was closed.
        """
        try:
            data = self._connection.recv(_READ)
        except ssl.SSLWantReadError:
            return False
        if not data:
            raise RuntimeError("a WebSocket was closed")
        self._received += len(data)
        if self._received < self._expected:
            return False
        self._received -= self._expected
        self.latencies.append(time.monotonic() - self._sent_at)
        return True


def chat(connections: Sequence[ssl.SSLSocket], size: int, seconds: float) -> list[float]:
    """
    Keep all of them busy.

    @return: the latencies of all messages whose echo came in time.
    """
    poller = select.epoll()
    chatters: dict[int, Chatter] = {}
    for connection in connections:
        connection.setblocking(False)
        poller.register(connection.fileno(), select.EPOLLIN)
        chatters[connection.fileno()] = Chatter(connection, size)
    end = time.monotonic() + seconds
    for chatter in chatters.values():
        chatter.send()
    while time.monotonic() < end:
        ready = poller.poll(_PATIENCE)
        if not ready:
            raise RuntimeError("no echo came any more")
        for descriptor, _ in ready:
            if chatters[descriptor].receive():
                chatters[descriptor].send()
    return [latency for chatter in chatters.values() for latency in chatter.latencies]


def main() -> None:
    """Connect, chat, tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.chatter")
    parser.add_argument("targets", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    raise_limit()
    targets = [Target(**fields) for fields in json.loads(options.targets.read_text())]
    latencies = chat([upgraded(target) for target in targets], options.size, options.seconds)
    print(json.dumps({"seconds": options.seconds, **in_milliseconds(latencies)}))


if __name__ == "__main__":
    main()
