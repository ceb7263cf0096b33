"""
C{python -m bench.plain_tls}: a TLS server with nothing around it: what a line allows, and no more.

It answers paths that begin with C{/1k/} with 1 KiB, all others with 1 GiB. One thread for each connection.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import threading
from pathlib import Path
from typing import Final

SMALL: Final = 1 << 10
LARGE: Final = 1 << 30
_PIECE: Final = bytes(64 << 10)
_LONGEST_HEAD: Final = 16 << 10


def answer(connection: ssl.SSLSocket) -> None:
    """Answer requests until the client has had enough."""
    with connection:
        try:
            while path := _read_path(connection):
                size = SMALL if path.startswith("/1k/") else LARGE
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for start in range(0, size, len(_PIECE)):
                    connection.sendall(_PIECE[: size - start])
        except OSError:
            pass  # It left in the middle, as downloads here do.


def _read_path(connection: ssl.SSLSocket) -> str:
    """The path of the next request; empty at the end."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(_LONGEST_HEAD)
        if not data or len(head) > _LONGEST_HEAD:
            return ""
        head += data
    return head.split(b" ", 2)[1].decode("ascii")


def _handle(plain: socket.socket, context: ssl.SSLContext) -> None:
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        answer(context.wrap_socket(plain, server_side=True))
    except OSError:
        plain.close()  # No handshake: somebody looked whether the port is open.


def main() -> None:
    """Until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m bench.plain_tls")
    parser.add_argument("port", type=int)
    parser.add_argument("chain", type=Path)
    parser.add_argument("key", type=Path)
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.chain, options.key)
    with socket.create_server(("", options.port)) as listener:
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_handle, args=(plain, context), daemon=True).start()


if __name__ == "__main__":
    main()
