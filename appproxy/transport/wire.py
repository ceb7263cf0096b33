"""
What happens on a socket every day, in one compiled object: bytes come and are
handed up, bytes go and the kernel takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

from appproxy.bare import BareProtocol

READ_SIZE: Final = 64 * 1024 - 64
"""
Bytes of one C{recv}. More made TLS on top of it dearer: its buffers left the processor's cache. What a tunnel
makes of it, frame headers and all, fills four records of TLS, and needs no fifth for the rest.
"""

FIRST_READ_SIZE: Final = 8 * 1024
"""Of the first one, and of each after one that brought less: a browser's request is no longer."""

READS_OF_A_TURN: Final = 2
"""
As long as they are filled: the rest of an answer leaves with its beginning, in the same turn, instead of
waking everybody on its way once more.
"""

MAXIMUM_PIECES: Final = 64
"""What one C{sendmsg} is given: a megabyte of records, and far less than any kernel's limit."""


def _drop(_data: object) -> None:
    """What is written to a connection that is over goes nowhere."""


class Wire:
    """
    The short way between a socket and a protocol.

    What the kernel does not take waits here, in the pieces that it was written in: to join them for each
    call of the kernel would copy a large body twice.

    @ivar direct: whether what is written may leave at once, since nothing waits before it.
    @ivar reading: whether the protocol wants what comes.
    @ivar read_size: the bytes of one read where much comes.
    """

    def __init__(self) -> None:
        self.direct = True
        self.reading = True
        self._barred = False
        self._waiting: list[bytes | memoryview] = []
        self._waiting_bytes = 0
        self.read_size = READ_SIZE
        self._receiver: BareProtocol | None = None
        self._size = FIRST_READ_SIZE
        self._receive: Any = None
        self._send: Any = None
        self._send_pieces: Any = None
        self._waits: Callable[[int], None] = _drop
        self._queue: Callable[[bytes], None] = _drop

    def begin(self, socket: Any, waits: Callable[[int], None], queue: Callable[[bytes], None]) -> None:
        """
        There is a connection now.

        @param waits: told how many bytes wait, whenever there are more; has L{drain} called.
        @param queue: takes what is written once this way is barred.
        """
        self._receive, self._send, self._send_pieces = socket.recv, socket.send, socket.sendmsg
        self._waits, self._queue = waits, queue

    def hand_up_to(self, receiver: BareProtocol) -> None:
        """What L{read} reads is for this one."""
        self._receiver = receiver

    def end(self) -> None:
        """The connection is over."""
        self.bar()
        self._receiver = None
        self._receive = self._send = self._send_pieces = None
        self._waiting, self._waiting_bytes = [], 0
        self._waits = self._queue = _drop

    def bar(self) -> None:
        """From now on everything has to queue elsewhere, behind what waits here, for ever."""
        self.direct = False
        self._barred = True

    def dry(self) -> None:
        """Nothing waits any more."""
        self.direct = not self._barred

    def read(self) -> object:
        """Hand up what came; as Twisted's C{doRead}."""
        for _ in range(READS_OF_A_TURN):
            receiver = self._receiver
            if receiver is None or not self.reading:
                break
            size = self._size
            try:
                data: bytes = self._receive(size)
            except BlockingIOError:
                break
            except OSError:
                return CONNECTION_LOST
            if not data:
                return CONNECTION_DONE
            # Room is made for as much as may come: little, until there is much.
            self._size = self.read_size if len(data) >= FIRST_READ_SIZE else FIRST_READ_SIZE
            receiver.dataReceived(data)
            if len(data) < size:
                break
        return None

    def write(self, data: bytes) -> None:
        """Send what the kernel takes now; keep the rest, and leave every trouble to L{drain}."""
        if not self.direct:
            if self._barred:
                self._queue(data)
            else:
                self._keep(data)
            return
        try:
            sent: int = self._send(data)
        except OSError:
            # Full, or broken: drain will find out, and not in the midst of our caller.
            sent = 0
        if sent < len(data):
            self._keep(memoryview(data)[sent:] if sent else data)

    def write_sequence(self, pieces: list[bytes]) -> None:
        """As L{write}; pieces are not joined for that."""
        if not self.direct:
            if self._barred:
                self._queue(b"".join(pieces))
            else:
                self._keep_all(pieces)
            return
        first = pieces if len(pieces) <= MAXIMUM_PIECES else pieces[:MAXIMUM_PIECES]
        try:
            sent: int = self._send_pieces(first)
        except OSError:
            sent = 0
        rest = _after(pieces, sent)
        if rest:
            self._keep_all(rest)

    def drain(self) -> bool:
        """
        Send more of what waits.

        @return: whether nothing waits any more.
        @raise OSError: if the connection is broken.
        """
        if not self._waiting:
            return True
        try:
            sent: int = self._send_pieces(self._waiting[:MAXIMUM_PIECES])
        except BlockingIOError:
            return False
        self._waiting = _after(self._waiting, sent)
        self._waiting_bytes -= sent
        return not self._waiting

    def _keep(self, data: bytes | memoryview) -> None:
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._waits(self._waiting_bytes)

    def _keep_all(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._waiting.extend(pieces)
        for piece in pieces:
            self._waiting_bytes += len(piece)
        self._waits(self._waiting_bytes)


def _after(pieces: Sequence[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What is left of them once so many bytes are gone."""
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            rest = list(pieces[number:])
            if sent:
                rest[0] = memoryview(piece)[sent:]
            return rest
        sent -= len(piece)
    return []
