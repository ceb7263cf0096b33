"""
Listens in on a tunnel: what of the answers is in clear text there.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

_PIECE_BYTES: Final = 1 << 16


class Recorder:
    """
    Passes on whatever is said on a port, and keeps it: for a few requests, not for load.

    @ivar port: of 127.0.0.1, to connect to instead.
    """

    def __init__(self, port: int) -> None:
        """
        @param port: of 127.0.0.1, where it passes everything on to.
        """
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._streams: list[bytearray] = []

    def __enter__(self) -> Recorder:
        _run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._sockets):
            # A thread that waits in accept or recv is woken by this, and not by close.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def holds(self, piece: bytes) -> bool:
        """Whether this was said, by either side."""
        return any(piece in stream for stream in self._streams)

    def said(self) -> int:
        """How many bytes were said."""
        return sum(map(len, self._streams))

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += (near, far)
            _run(self._pass_on, near, far)
            _run(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        stream = bytearray()
        self._streams.append(stream)
        while piece := source.recv(_PIECE_BYTES):
            stream += piece
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def _run(work: Callable[..., None], *arguments: socket.socket) -> None:
    def until_closed() -> None:
        with suppress(OSError):
            work(*arguments)

    threading.Thread(target=until_closed, name="recorder", daemon=True).start()
