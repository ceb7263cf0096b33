"""
What happens on a socket every day, in one compiled object: bytes come and are
handed up, bytes go and the kernel takes them.
"""

from __future__ import annotations

from collections.abc import Callable
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

MAXIMUM_PIECES: Final = 64
"""What one C{sendmsg} is given: a megabyte of records, and far less than any kernel's limit."""


def _drop(_data: bytes) -> None:
    """What is written to a connection that is over goes nowhere."""


class Wire:
    """
    The short way between a socket and a protocol.

    @ivar direct: whether what is written may leave at once, since nothing waits before it.
    @ivar read_size: the bytes of one read where much comes.
    """

    def __init__(self) -> None:
        self.direct = True
        self._barred = False
        self.read_size = READ_SIZE
        self._receiver: BareProtocol | None = None
        self._size = FIRST_READ_SIZE
        self._receive: Any = None
        self._send: Any = None
        self._send_pieces: Any = None
        self._queue: Callable[[bytes], None] = _drop

    def begin(self, socket: Any, queue: Callable[[bytes], None]) -> None:
        """
        There is a connection now.

        @param queue: takes what cannot leave at once.
        """
        self._receive, self._send, self._send_pieces = socket.recv, socket.send, socket.sendmsg
        self._queue = queue

    def hand_up_to(self, receiver: BareProtocol) -> None:
        """What L{read} reads is for this one."""
        self._receiver = receiver

    def end(self) -> None:
        """The connection is over."""
        self.bar()
        self._receiver = None
        self._receive = self._send = self._send_pieces = None
        self._queue = _drop

    def bar(self) -> None:
        """From now on everything has to queue, for ever."""
        self.direct = False
        self._barred = True

    def dry(self) -> None:
        """Nothing waits any more."""
        self.direct = not self._barred

    def read(self) -> object:
        """Hand up what came; as Twisted's C{doRead}."""
        receiver = self._receiver
        if receiver is None:
            return None
        try:
            data: bytes = self._receive(self._size)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        # Room is made for as much as may come: little, until there is much.
        self._size = self.read_size if len(data) >= FIRST_READ_SIZE else FIRST_READ_SIZE
        receiver.dataReceived(data)
        return None

    def write(self, data: bytes) -> None:
        """Send what the kernel takes now; queue the rest, and leave every trouble to the writer."""
        sent = 0
        if self.direct:
            try:
                sent = self._send(data)
            except OSError:
                # Full, or broken: the writer will find out, and not in the midst of our caller.
                sent = 0
            if sent == len(data):
                return
        self._queue(data[sent:] if sent else data)

    def write_sequence(self, pieces: Any) -> None:
        """As L{write}; a few pieces need not be joined for that."""
        if not self.direct or len(pieces) > MAXIMUM_PIECES:
            self.write(b"".join(pieces))
            return
        try:
            sent: int = self._send_pieces(pieces)
        except OSError:
            sent = 0
        if sent < sum(map(len, pieces)):
            self._queue(b"".join(pieces)[sent:])
