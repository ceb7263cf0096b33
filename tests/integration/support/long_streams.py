"""
A download, an upload and a WebSocket that last as long as a test wants: whether one breaks is the question.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from bench.websocket_frames import pack, unpack
from tests.integration.support.attacker import Wire
from tests.integration.support.load import Person
from tests.integration.support.marked_backend import marked_bytes

SIZE: Final = 32 << 20
"""Of download and upload: far above what daemons and kernels hold between the two ends."""

PIECE: Final = 8 << 10
SLOW_PIECE: Final = 64
"""Of the second half, which has to last."""

UPLOAD_RATE: Final = 1000
"""
Bytes a second of the upload's second half, however seldom a busy machine lets it on: an edge gives up a body
that comes at less than 240.
"""

PAUSE_SECONDS: Final = 0.05
MOVE_SECONDS: Final = 120.0
"""More than a piece takes on the busiest machine."""

MARK: Final = "long"


class Broke(AssertionError):
    """A stream did not go on."""


class LongStreams:
    """
    One of each, under way. A thread brings all three on, piece by piece, so that none is ever idle: an edge
    waits for no body that does not come.
    """

    def __init__(self, wire: Callable[[], Wire], authority: str, person: Person) -> None:
        """
        Begin all three.

        @param wire: makes a new connection to the application.
        @param authority: its host and port.
        """
        self._lines = (
            f"Host: {authority}\r\nOrigin: https://{authority}\r\n"
            f"Cookie: {person.cookie}\r\nX-Mark: {MARK}\r\n"
        )
        self._person = person
        self._received = bytearray()
        self._body = memoryview(marked_bytes(MARK, SIZE))
        self._sent = 0
        self._sent_at = time.monotonic()
        self._messages = 0
        self._down = self._ask(wire, f"GET /down/{SIZE}")
        self._head(self._down, 200)
        self._up = self._ask(wire, "POST /long", f"Content-Length: {SIZE}\r\n")
        key = b64encode(os.urandom(16)).decode()
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        self._socket = self._ask(wire, "GET /socket", f"{upgrade}Sec-WebSocket-Key: {key}\r\n")
        self._head(self._socket, 101)
        self._expect(f"{person.name} {MARK}".encode())
        self._stopping, self._moved = threading.Event(), threading.Event()
        self._problem: Exception | None = None
        self._mover = threading.Thread(target=self._go_on, daemon=True, name="long streams")
        self._mover.start()

    def check(self) -> None:
        """
        See that nothing broke so far.

        @raise Broke: if something did.
        """
        if self._problem is not None:
            raise Broke(str(self._problem)) from self._problem

    def move(self) -> None:
        """
        Wait until something went down, up, there and back once more.

        @raise Broke: if that is not possible.
        """
        for _ in range(2):  # the first may have begun before
            self._moved.clear()
            if not self._moved.wait(MOVE_SECONDS):
                raise Broke("nothing moves")
        self.check()

    def stop(self) -> None:
        """Leave the streams as they are."""
        self._stopping.set()
        self._mover.join()

    def _go_on(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                self._move()
                self._moved.set()
        except Exception as error:
            self._problem = error
        finally:
            self._moved.set()

    def _move(self) -> None:
        self._receive(PIECE if len(self._received) < SIZE // 2 else SLOW_PIECE)
        self._send(PIECE if self._sent < SIZE // 2 else self._slow_piece())
        self._messages += 1
        text = marked_bytes(f"{MARK}/{self._messages}", 1000)
        self._socket.socket.sendall(pack(text, os.urandom(4)))
        self._expect(text)

    def finish(self) -> None:
        """
        Bring all to their ends.

        @raise Broke: if something is missing, or not what it should be.
        """
        self.move()
        self.stop()
        self.check()
        while len(self._received) < SIZE:
            self._receive(SIZE)
        if self._received != self._body:
            raise Broke("the download is not what was sent")
        while self._sent < SIZE:
            self._send(SIZE)
        answer = self._up.answer()
        if answer is None or answer.status != 200:
            raise Broke(f"the upload: {answer}")
        told = json.loads(answer.body)
        whole = hashlib.sha256(self._body).hexdigest()
        if (told["user"], told["size"], told["sha256"]) != (self._person.name, SIZE, whole):
            raise Broke(f"the upload arrived as {told}")
        self._socket.close()

    def _ask(self, wire: Callable[[], Wire], line: str, more: str = "") -> Wire:
        """A request on a connection of its own, at once: an edge waits for none for long."""
        made = wire()
        made.socket.settimeout(MOVE_SECONDS)
        made.socket.sendall(f"{line} HTTP/1.1\r\n{self._lines}{more}\r\n".encode())
        return made

    def _head(self, wire: Wire, status: int) -> None:
        """Byte by byte: what follows the head is not to be read with it."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = wire.socket.recv(1)
            if not byte:
                raise Broke(f"hung up after {head!r}")
            head += byte
        if not head.startswith(f"HTTP/1.1 {status} ".encode()):
            raise Broke(head.decode("latin-1"))

    def _receive(self, most: int) -> None:
        data = self._down.socket.recv(most)
        if not data:
            raise Broke(f"the download ended after {len(self._received)} bytes")
        self._received += data

    def _slow_piece(self) -> int:
        """As much as is due since the last one."""
        return max(SLOW_PIECE, int((time.monotonic() - self._sent_at) * UPLOAD_RATE))

    def _send(self, size: int) -> None:
        piece = self._body[self._sent : self._sent + size]
        try:
            self._up.socket.sendall(piece)
        except OSError as error:
            raise Broke(f"the upload broke after {self._sent} bytes: {error}") from error
        self._sent += len(piece)
        self._sent_at = time.monotonic()

    def _expect(self, text: bytes) -> None:
        rest, got = b"", list[bytes]()
        while not got:
            data = self._socket.socket.recv(PIECE)
            if not data:
                raise Broke(f"the WebSocket ended after {self._messages} messages")
            got, rest = unpack(rest + data)
        if got != [text]:
            raise Broke(f"the WebSocket said {got!r:.200}")
