"""
CONFIG: a document of several frames, among the streams' data.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.frames import CONFIG, MORE, pack_header
from appproxy.tunnel.messages import pack_long, unpack_long
from appproxy.tunnel.outbox import SMALLEST_QUANTUM, Outbox

PART: Final = SMALLEST_QUANTUM - 64
"""A catalog takes no larger turns than a download among others does."""


class ConfigSender:
    """
    Sends documents, one after the other, in turn with the streams.

    Holds at most the one being sent and the newest.
    """

    __slots__ = ("_box", "_next", "_parts", "_rotating", "relieved")

    def __init__(self, box: Outbox) -> None:
        self._box = box
        self._parts: deque[tuple[int, bytes]] = deque()
        self._next: tuple[int, bytes] | None = None
        self._rotating = False
        self.relieved = False

    def send(self, revision: int, payload: bytes) -> None:
        """Send this document after the one under way, instead of any other that waits."""
        self._next = (revision, payload)
        if not self._rotating:
            self._rotating = True
            self._box.ready(self)

    @property
    def sendable(self) -> bool:
        """Whether L{take} would send something."""
        self._rotating = bool(self._parts) or self._next is not None
        return self._rotating

    def take(self, out: list[bytes | memoryview], quantum: int) -> int:
        """Append one frame."""
        if not self._parts and self._next is not None:
            self._split(*self._next)
            self._next = None
        flags, part = self._parts.popleft()
        out.append(pack_header(CONFIG, flags, 0, len(part)))
        out.append(part)
        return len(part)

    def relieve(self) -> None:
        """Nothing waits for room here."""

    def _split(self, revision: int, payload: bytes) -> None:
        prefix = pack_long(revision)
        starts = range(0, max(len(payload), 1), PART)
        for start in starts:
            flags = MORE if start + PART < len(payload) else 0
            self._parts.append((flags, prefix + payload[start : start + PART]))


class ConfigReceiver:
    """Puts documents together, up to a limit."""

    __slots__ = ("_limit", "_parts", "_revision", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._revision = 0
        self._size = 0

    def receive(self, payload: bytes, more: bool) -> tuple[int, bytes] | None:
        """
        One frame; the whole document with its last.

        @raise TunnelError: C{bad_message}, or C{config_size}.
        """
        revision, part = unpack_long(payload)
        if self._parts and revision != self._revision:
            raise TunnelError("bad_message", "a CONFIG document is interrupted")
        self._revision = revision
        self._size += len(part)
        if self._size > self._limit:
            raise TunnelError("config_size", "a CONFIG document is too large")
        self._parts.append(part)
        if more:
            return None
        document = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return revision, document
