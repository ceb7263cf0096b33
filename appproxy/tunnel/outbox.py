"""
What waits to be sent on a tunnel, and in which order it goes.

Three queues: control frames; then the I{prompt} queue, in which every stream may
put a little each turn, encoded already; then the streams that have more than
that, round robin. See section 7 of C{docs/tunnel.md}.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from appproxy.tunnel.frames import MAX_DATA, encode


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

CONTROL_FULL: Final = 1024 * KIB
"""With this much control unsent the peer is not reading: no new stream or principal is accepted."""

CONTROL_FLOOD: Final = 65_536
"""Control frames unsent. A mass of resets stays far below; a peer that pings and does not read gets there."""

QUEUED_FULL: Final = 32 * 1024 * KIB
"""All streams' queues together. Above it each keeps only L{SMALL_MARK}, and no new stream is accepted."""


class Outbox:
    """
    The sending half of a session.

    C{Stream} reaches into C{parts}, C{room}, C{epoch} and C{awake}: putting a small
    frame into the prompt queue is the hot path.

    @ivar parts: the prompt queue, headers and payloads alternating.
    @ivar room: the bytes that still fit into C{parts}.
    @ivar epoch: counts how often C{parts} was taken.
    @ivar awake: whether C{wake} was called since everything was taken.
    @ivar queued: bytes of DATA that wait in streams.
    """

    __slots__ = ("_control", "_ready", "_wake", "awake", "control_bytes", "epoch", "parts", "queued", "room")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._control: deque[bytes] = deque()
        self._ready: deque[Sender] = deque()
        self.control_bytes = 0
        self.parts: list[bytes | memoryview] = []
        self.room = PROMPT_ROOM
        self.epoch = 0
        self.awake = False
        self.queued = 0

    @property
    def pending(self) -> bool:
        """Whether L{take} would return something."""
        return bool(self._control or self.parts or self._ready)

    @property
    def control_frames(self) -> int:
        """How many control frames are unsent."""
        return len(self._control)

    @property
    def full(self) -> bool:
        """Whether so much is unsent that nothing new should begin."""
        return self.control_bytes > CONTROL_FULL or self.queued > QUEUED_FULL

    def rouse(self) -> None:
        """Say, once until L{take}, that there is output."""
        if not self.awake:
            self.awake = True
            self._wake()

    def control(self, kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> None:
        """Queue a frame before all frames of streams."""
        frame = encode(kind, stream, payload, flags)
        self._control.append(frame)
        self.control_bytes += len(frame)
        if not self.awake:
            self.rouse()

    def ready(self, stream: Sender) -> None:
        """Put a stream with something to send into the rotation."""
        self._ready.append(stream)
        if not self.awake:
            self.rouse()

    def close(self) -> None:
        """Drop everything; nothing is ever sent again."""
        self._control.clear()
        self._ready.clear()
        self.parts = []
        self.control_bytes = self.queued = 0
        self.awake = True

    def take(self, limit: int) -> list[bytes | memoryview]:
        """About C{limit} bytes to send next, in order; at most one frame more."""
        out: list[bytes | memoryview] = []
        size = self._take_control(out, limit) if self._control else 0
        if self._control or (self.parts and size + PROMPT_ROOM - self.room > limit and size):
            return out
        if self.parts:
            size += PROMPT_ROOM - self.room
            out = out + self.parts if out else self.parts
            self.parts = []
            self.room = PROMPT_ROOM
            self.epoch += 1
        if self._ready:
            self._take_turns(out, limit, size)
        else:
            self.awake = False
        return out

    def _take_control(self, out: list[bytes | memoryview], limit: int) -> int:
        control, size = self._control, 0
        while control and size < limit:
            frame = control.popleft()
            size += len(frame)
            out.append(frame)
        self.control_bytes -= size
        return size

    def _take_turns(self, out: list[bytes | memoryview], limit: int, size: int) -> None:
        """Let the streams of the rotation send a quantum each until C{limit} is reached."""
        ready = self._ready
        relieved = []
        while ready and size < limit:
            quantum = min(MAX_DATA, max(SMALLEST_QUANTUM, limit // len(ready)), max(limit - size, 1024))
            stream = ready.popleft()
            size += stream.take(out, quantum)
            if stream.sendable:
                ready.append(stream)
            if stream.relieved:
                relieved.append(stream)
        self.awake = bool(ready)
        for each in relieved:
            each.relieve()
