"""
C{python -m bench.crowd KIND TARGETS}: many connections that are there and do nothing, until C{SIGTERM}.

KIND is C{idle} (after one request), C{websocket} (after the upgrade and one message) or C{stalled} (asks
for a large body and reads none of it).
"""

from __future__ import annotations

import json
import signal
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.files import raise_limit
from bench.paced import length_of
from bench.requests import Target, check_status, connect
from bench.websocket_frames import pack, unpack

READY: Final = "ready"
RECEIVE_BUFFER: Final = 64 << 10
_END: Final = b"\r\n\r\n"
_MESSAGE: Final = b"x" * 128
_MASK: Final = b"\x12\x34\x56\x78"


def idle(target: Target) -> ssl.SSLSocket:
    """One request, and its answer."""
    connection = connect(target)
    connection.sendall(target.request())
    head, body = read_head(connection)
    check_status(head)
    missing = length_of(head) - len(body)
    while missing > 0:
        missing -= len(received(connection))
    return connection


def websocket(target: Target) -> ssl.SSLSocket:
    """The upgrade, and one message that comes back."""
    connection = upgraded(target)
    connection.sendall(pack(_MESSAGE, _MASK))
    data = b""
    while not unpack(data)[0]:
        data += received(connection)
    return connection


def stalled(target: Target) -> ssl.SSLSocket:
    """A request; the kernel takes little of the answer: elsewhere the reader is a machine of its own."""
    connection = connect(target, RECEIVE_BUFFER)
    connection.sendall(target.request())
    return connection


KINDS: Final[Mapping[str, Callable[[Target], ssl.SSLSocket]]] = {
    "idle": idle,
    "websocket": websocket,
    "stalled": stalled,
}


def upgraded(target: Target) -> ssl.SSLSocket:
    """A WebSocket, as a browser opens it."""
    connection = connect(target)
    headers = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Origin: https://{target.host}:{target.port}",
    )
    connection.sendall(target.request(*headers))
    head, rest = read_head(connection)
    check_status(head, 101)
    if rest:
        raise RuntimeError("nobody said anything yet")
    return connection


def read_head(connection: ssl.SSLSocket) -> tuple[bytes, bytes]:
    """The head of an answer, and what came with it."""
    data = b""
    while _END not in data:
        data += received(connection)
    head, _, rest = data.partition(_END)
    return head + _END, rest


def received(connection: ssl.SSLSocket) -> bytes:
    """
    The next bytes.

    @raise RuntimeError: if there are none any more.
    """
    data = connection.recv(16384)
    if not data:
        raise RuntimeError("the connection was closed")
    return data


def write_targets(path: Path, targets: Sequence[Target]) -> Path:
    """A file for L{main}: one connection for each."""
    path.touch(0o600)
    path.write_text(json.dumps([vars(target) for target in targets]))
    return path


def main() -> None:
    """Connect, say C{ready}, and wait."""
    raise_limit()
    kind, path = sys.argv[1:]
    signal.signal(signal.SIGTERM, _stop)
    targets = [Target(**fields) for fields in json.loads(Path(path).read_text())]
    connections = [KINDS[kind](target) for target in targets]
    print(READY, len(connections), flush=True)
    signal.pause()


def _stop(*_: Any) -> None:
    sys.exit()


if __name__ == "__main__":
    main()
