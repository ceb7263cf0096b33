"""
What waits to be sent on a tunnel, and in which order it goes.

Two queues: the I{prompt} queue, in which control frames and a little of each stream
stand, encoded already, in the order in which they were sent; then the streams that
have more than that, round robin. See section 7 of C{docs/tunnel.md}.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from appproxy.tunnel.frames import HEADER_SIZE, MAX_DATA, begin_header, encode, end_header


class Sender(Protocol):
    """Something with frames to send, in the rotation."""

    @property
    def sendable(self) -> bool:
        """Whether L{take} would send something; asked to decide on a place in the rotation."""

    @property
    def relieved(self) -> bool:
        """Whether L{relieve} is due."""

    def take(self, out: list[bytes | memoryview], quantum: int) -> int:
        """Append about C{quantum} bytes of frames; return how many."""

    def relieve(self) -> None:
        """There is room again."""


KIB: Final = 1 << 10

PROMPT_ROOM: Final = 192 * KIB
"""The prompt queue's size: leaves a quarter of a turn's write to the streams in the rotation."""

PROMPT_SHARE: Final = 16 * KIB
"""What one stream may put into the prompt queue each turn: a usual answer, but no download."""

SMALLEST_QUANTUM: Final = 16 * KIB
"""What a stream sends at least when it is its turn: less would be all headers and TLS records."""

PROMPT_FULL: Final = 1024 * KIB
"""
With this much in the prompt queue the peer is not reading, or heads come faster than they leave: no new
stream or principal is accepted.
"""

PROMPT_FLOOD: Final = 4096 * KIB
"""Only a peer that makes us answer, and reads no answer, gets there: 400,000 pings."""

QUEUED_FULL: Final = 32 * 1024 * KIB
"""All streams' queues together. Above it each keeps only L{SMALL_MARK}, and no new stream is accepted."""

_FULL_BELOW: Final = PROMPT_ROOM - PROMPT_FULL
_FLOOD_BELOW: Final = PROMPT_ROOM - PROMPT_FLOOD


class Outbox:
    """
    The sending half of a session.

    C{Stream} reaches into C{parts}, C{room}, C{epoch} and C{awake}: putting a small
    frame into the prompt queue is the hot path.

    @ivar parts: the prompt queue, bytes in their order on the wire.
    @ivar room: the bytes that still fit into C{parts}; control frames may make it negative.
    @ivar epoch: counts how often C{parts} was taken.
    @ivar awake: whether C{wake} was called since everything was taken.
    @ivar queued: bytes that wait in streams.
    @ivar taken: how many bytes the last L{take} returned.
    """

    __slots__ = ("_closed", "_ready", "_wake", "awake", "epoch", "parts", "queued", "room", "taken")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._closed = False
        self._ready: deque[Sender] = deque()
        self.parts: list[bytes | memoryview] = []
        self.room = PROMPT_ROOM
        self.epoch = 0
        self.awake = False
        self.queued = 0
        self.taken = 0

    @property
    def pending(self) -> bool:
        """Whether L{take} would return something."""
        return bool(self.parts or self._ready)

    @property
    def prompt_size(self) -> int:
        """Bytes in the prompt queue."""
        return PROMPT_ROOM - self.room

    @property
    def full(self) -> bool:
        """Whether so much is unsent that nothing new should begin."""
        return self.room < _FULL_BELOW or self.queued > QUEUED_FULL

    @property
    def flooded(self) -> bool:
        """Whether the peer provokes answers and reads none."""
        return self.room < _FLOOD_BELOW

    def rouse(self) -> None:
        """Say, once until L{take}, that there is output."""
        if not self.awake:
            self.awake = True
            self._wake()

    def control(self, kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> None:
        """Put a frame into the prompt queue, whether there is room or not."""
        if self._closed:
            return
        frame = encode(kind, stream, payload, flags)
        self.parts.append(frame)
        self.room -= len(frame)
        if not self.awake:
            self.rouse()

    def small(self, kind: int, stream: int, payload: bytes) -> None:
        """The same for a frame of an open stream whose payload is short, in half the time."""
        parts = self.parts
        parts.append(begin_header(kind, 0))
        parts.append(end_header(stream, len(payload)))
        parts.append(payload)
        self.room -= HEADER_SIZE + len(payload)
        if not self.awake:
            self.rouse()

    def ready(self, sender: Sender) -> None:
        """Put a stream with something to send into the rotation."""
        if self._closed:
            return
        self._ready.append(sender)
        if not self.awake:
            self.rouse()

    def close(self) -> None:
        """Drop everything; nothing is ever sent again."""
        self._closed = True
        self._ready.clear()
        self.parts = []
        self.queued = 0

    def take(self, limit: int) -> list[bytes | memoryview]:
        """About C{limit} bytes to send next, in order; at most one frame more."""
        out, size = self.parts, PROMPT_ROOM - self.room
        self.epoch += 1
        if size > limit:
            return self._take_some(limit)
        self.parts = []
        self.room = PROMPT_ROOM
        if self._ready:
            self._take_turns(out, limit, size)
            size = sum(map(len, out))
        else:
            self.awake = False
        self.taken = size
        return out

    def _take_some(self, limit: int) -> list[bytes | memoryview]:
        """The first C{limit} bytes of a prompt queue that holds more."""
        size = count = 0
        while size < limit:
            size += len(self.parts[count])
            count += 1
        out, self.parts = self.parts[:count], self.parts[count:]
        self.room += size
        self.taken = size
        self.awake = self.pending
        return out

    def _take_turns(self, out: list[bytes | memoryview], limit: int, size: int) -> None:
        """Let the streams of the rotation send a quantum each until C{limit} is reached."""
        ready = self._ready
        relieved = []
        while ready and size < limit:
            quantum = min(MAX_DATA, max(SMALLEST_QUANTUM, limit // len(ready)), max(limit - size, KIB))
            sender = ready.popleft()
            size += sender.take(out, quantum)
            if sender.sendable:
                ready.append(sender)
            if sender.relieved:
                relieved.append(sender)
        self.awake = bool(ready)
        for each in relieved:
            each.relieve()
