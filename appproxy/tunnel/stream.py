"""
One exchange inside a tunnel: the only meeting point of HTTP and tunnel.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from appproxy.tunnel.frames import (
    BLOCKED,
    DATA,
    END,
    FIN,
    HEAD,
    MAX_DATA,
    OPEN,
    RESET,
    TIMES,
    TRAILERS,
    UPGRADED,
    begin_header,
    end_header,
    limit_of,
    pack_header,
)
from appproxy.tunnel.handler import DEAF, StreamHandler
from appproxy.tunnel.messages import pack_reason
from appproxy.tunnel.outbox import PROMPT_SHARE, QUEUED_FULL

if TYPE_CHECKING:
    from appproxy.tunnel.state import SessionState

KIB: Final = 1 << 10

HIGH_MARK: Final = 128 * KIB
"""A stream with this much unsent asks its producer to pause: two reads of a socket."""

LOW_MARK: Final = 64 * KIB
"""It asks for more when this little is left, so that the next turn finds something to send."""

ENDLESS: Final = 1 << 60
"""What may still come on a stream of which nobody knows how much it is."""

SMALL_MARK: Final = 16 * KIB
"""The high mark while the whole tunnel holds more than L{QUEUED_FULL}."""

# One direction of a stream; the columns of the table in section 5.2 of docs/tunnel.md.
AWAIT_HEAD: Final = 0
HEADED: Final = 1
BODY: Final = 2
RAW: Final = 3
TRAILED: Final = 4
AWAIT_UPGRADE: Final = 5
ENDED: Final = 6

_NO: Final = -1
AFTER_HEAD: Final[tuple[int, ...]] = (HEADED, HEADED, _NO, _NO, _NO, _NO, _NO)
AFTER_DATA: Final[tuple[int, ...]] = (_NO, BODY, BODY, RAW, _NO, _NO, _NO)
AFTER_TRAILERS: Final[tuple[int, ...]] = (_NO, TRAILED, TRAILED, _NO, _NO, _NO, _NO)
AFTER_END: Final[tuple[int, ...]] = (_NO, ENDED, ENDED, ENDED, ENDED, ENDED, _NO)
AFTER_UPGRADED: Final[tuple[int, ...]] = (_NO, RAW, _NO, _NO, _NO, _NO, _NO)


class Stream:
    """
    One exchange. Made by L{TunnelSession}; never by others.

    @ivar id: its number in this tunnel.
    @ivar handler: who is told what arrives. The acceptor sets it in C{opened}.
    @ivar context: free for the stream's user.
    @ivar principal_number: who it is for; 0 = anonymous.
    @ivar upgrade: whether it asked to leave HTTP.
    @ivar listed: whether it stands among the session's streams.
    """

    __slots__ = (
        "_blocked",
        "_box",
        "_choked",
        "_credit",
        "_epoch",
        "_fin_sent",
        "_last",
        "_last_kind",
        "_parting",
        "_paused",
        "_pending",
        "_queued",
        "_receiving",
        "_rest",
        "_room",
        "_rotating",
        "_sending",
        "_share",
        "_state",
        "_window",
        "context",
        "handler",
        "id",
        "listed",
        "principal_number",
        "upgrade",
    )

    def __init__(
        self,
        state: SessionState,
        number: int,
        principal_number: int,
        upgrade: bool,
        handler: StreamHandler,
        credit: int,
        window: int,
        sending: int,
        receiving: int,
    ) -> None:
        self._state = state
        self._box = state.box
        self.id = number
        self.principal_number = principal_number
        self.upgrade = upgrade
        self.handler = handler
        self.context: Any = None
        self.listed = True
        # Receiving: what the peer may still send, and what it may have under way at all.
        self._receiving = receiving
        self._room = self._window = window
        self._rest = ENDLESS
        self._paused = False
        # Sending: credit, the frames that the prompt queue did not take, the header that can still get FIN.
        self._sending = sending
        self._credit = credit
        self._pending: deque[tuple[int, bytes | memoryview]] | None = None
        self._queued = 0
        self._epoch = -1
        self._share = 0
        self._last = self._last_kind = -1
        self._rotating = self._choked = self._blocked = False
        self._fin_sent = sending == ENDED
        self._parting: bytes | None = None

    # -- what the user calls

    @property
    def closed(self) -> bool:
        """Whether both directions are over, or the stream was reset."""
        return self._receiving == ENDED and self._fin_sent

    @property
    def queued(self) -> int:
        """Bytes given to L{write} that still wait for credit or for their turn."""
        return self._queued

    def head(self, payload: bytes) -> None:
        """
        Send a response head: the acceptor's side only.

        @raise RuntimeError: if data went before it.
        @raise ValueError: if it is larger than a frame may be.
        """
        self._advance(AFTER_HEAD, HEAD, payload)

    def times(self, payload: bytes) -> None:
        """Say how long the answer took: the acceptor's side, before the final head or L{reset}."""
        if not self.closed:
            self._box.small(TIMES, self.id, payload)

    def write(self, data: bytes) -> None:
        """
        Send bytes of body. Never blocks, never drops: heed C{writable}.

        @raise RuntimeError: before the head, after L{end}, or before the upgrade.
        """
        after = AFTER_DATA[self._sending]
        if after < 0:
            if self.closed:
                return
            raise RuntimeError("this is no time to write to the stream")
        self._sending = after
        size = len(data)
        if size:
            self._send(DATA, data, size)

    def trailers(self, payload: bytes) -> None:
        """
        Send trailers; only L{end} may follow.

        @raise RuntimeError: before the head, after L{end}, or on an upgraded stream.
        @raise ValueError: if they are larger than a frame may be.
        """
        self._advance(AFTER_TRAILERS, TRAILERS, payload)

    def end(self) -> None:
        """
        End this side's direction. The second time it does nothing.

        @raise RuntimeError: before the head.
        """
        if self._sending == ENDED:
            return
        if self._sending == AWAIT_HEAD:
            raise RuntimeError("a response needs a head")
        self._close_unused_request()
        self._sending = ENDED
        if self._pending:
            return
        if self._last >= 0 and self._epoch == self._box.epoch:
            self._box.parts[self._last] = begin_header(self._last_kind, FIN)
            self._fin_is_sent()
        else:
            self._send(END, b"", 0)
            if not self._pending:
                self._fin_is_sent()

    def upgraded(self) -> None:
        """
        After the head with 101: both directions are raw bytes from here on.

        @raise RuntimeError: if the stream asked for no upgrade, or not right after the head.
        """
        if not self.upgrade and not self.closed:
            raise RuntimeError("nobody asked for an upgrade")
        self._advance(AFTER_UPGRADED, UPGRADED, b"")
        if self._receiving == AWAIT_UPGRADE:
            self._receiving = RAW

    def reset(self, reason: str, detail: str = "") -> None:
        """
        Give the stream up; the handler is not called again.

        At the acceptor's side, after L{end}, what was written before is still
        delivered, then the reset: an answer that came before its request ended.
        The second time it drops that as well.
        """
        if self.closed:
            return
        self.handler = DEAF
        answering = self._sending == ENDED and self._pending and self._state.role == "acceptor"
        if answering and self._parting is None:
            self._paused = True
            self._parting = pack_reason(reason, detail)
            return
        self._state.discard(self)
        self._box.control(RESET, self.id, pack_reason(reason, detail))

    def expect(self, size: int) -> None:
        """So many bytes of body are still to come: credit beyond them would wake the peer for nothing."""
        self._rest = size

    def pause(self) -> None:
        """Grant the peer no more credit until L{resume}."""
        self._paused = True

    def resume(self) -> None:
        """Grant credit again."""
        self._paused = False
        if self.starving and self._receiving != ENDED and self.handler is not DEAF:
            self._state.grant(self)

    @property
    def starving(self) -> bool:
        """Whether the peer may soon need more credit than it has."""
        return self._room <= self._window >> 1 and self._room < self._rest

    # -- sending, for the outbox

    @property
    def sendable(self) -> bool:
        """Whether L{take} would send something; keeps the stream's place in the rotation."""
        pending = self._pending
        more = bool(pending) and (self._credit > 0 or not self._blocked or pending[0][0] != DATA)  # type: ignore[index]
        self._rotating = more
        return more

    @property
    def relieved(self) -> bool:
        """Whether a producer that was asked to pause can go on."""
        return self._choked and self._queued <= LOW_MARK

    def relieve(self) -> None:
        """Ask the producer to go on."""
        if self.relieved:
            self._choked = False
            self._state.guarded(self, self.handler.writable, True)

    def take(self, out: list[bytes | memoryview], quantum: int) -> int:
        """Append at most about C{quantum} bytes of frames; return how many."""
        pending = self._pending
        used = 0
        while pending and used < quantum:
            kind, payload = pending[0]
            size = len(payload)
            flags = 0
            if kind == DATA:
                size = min(size, quantum - used, self._credit, MAX_DATA)
                if not size and self._blocked:
                    break
                self._credit -= size
                if size < len(payload):
                    pending[0] = (DATA, memoryview(payload)[size:])
                    payload = memoryview(payload)[:size]
                else:
                    pending.popleft()
                if not self._credit and pending and pending[0][0] == DATA:
                    self._blocked = True
                    flags = BLOCKED
            else:
                pending.popleft()
            self._queued -= size
            self._box.queued -= size
            ends = not pending and self._sending == ENDED
            if ends and kind != END:
                flags |= FIN
            out.append(pack_header(kind, flags, self.id, size))
            if size:
                out.append(payload)
            used += size + 10
            if ends:
                self._part(out)
        return used

    def announce(self, payload: bytes) -> None:
        """Send OPEN, in its turn however large it is: the peer takes no number below an earlier one."""
        box = self._box
        size = len(payload) + 10
        self._epoch = box.epoch
        self._share = max(PROMPT_SHARE - size, 0)
        box.room -= size
        parts = box.parts
        parts.append(begin_header(OPEN, FIN if self._sending == ENDED else 0))
        parts.append(end_header(self.id, size - 10))
        parts.append(payload)
        if not box.awake:
            box.rouse()

    def credited(self, amount: int) -> None:
        """The peer granted credit."""
        self._credit += amount
        self._blocked = False
        if self._pending and not self._rotating:
            self._rotating = True
            self._box.ready(self)

    def _advance(self, after: tuple[int, ...], kind: int, payload: bytes) -> None:
        state = after[self._sending]
        if state < 0:
            if self.closed:
                return
            raise RuntimeError("this is no time to send such a frame")
        if len(payload) > limit_of(kind):
            raise ValueError("too long for one frame")
        self._sending = state
        self._send(kind, payload, 0)

    def _send(self, kind: int, payload: bytes, cost: int) -> None:
        """Send in the prompt queue what is small, if nothing of this stream waits; else queue it here."""
        box = self._box
        size = len(payload)
        if self._epoch != box.epoch:
            self._epoch = box.epoch
            self._share = PROMPT_SHARE
            self._last = -1
        if size <= self._share and cost <= self._credit and not self._pending and size <= box.room:
            size += 10
            self._share -= size
            self._credit -= cost
            box.room -= size
            parts = box.parts
            self._last, self._last_kind = len(parts), kind
            parts.append(begin_header(kind, 0))
            parts.append(end_header(self.id, size - 10))
            parts.append(payload)
            if not box.awake:
                box.rouse()
        else:
            self._queue(kind, payload)

    def _queue(self, kind: int, payload: bytes) -> None:
        if self._pending is None:
            self._pending = deque()
        self._pending.append((kind, payload))
        size = len(payload)
        self._queued += size
        self._box.queued += size
        if not self._rotating and self.sendable:
            self._box.ready(self)
        if kind == DATA and not self._choked:
            mark = HIGH_MARK if self._box.queued <= QUEUED_FULL else SMALL_MARK
            if self._queued > mark:
                self._choked = True
                self.handler.writable(False)

    def _fin_is_sent(self) -> None:
        self._fin_sent = True
        if self._receiving == ENDED:
            self._state.removed(self)

    def _part(self, out: list[bytes | memoryview]) -> None:
        """FIN went out; a reset that waited for it follows."""
        if self._parting is not None and self._receiving != ENDED:
            out.append(pack_header(RESET, 0, self.id, len(self._parting)))
            out.append(self._parting)
            self._state.discard(self)
        else:
            self._fin_is_sent()

    def _close_unused_request(self) -> None:
        """The acceptor answers an upgrade otherwise: the request's direction ends with the answer's."""
        if self._receiving == AWAIT_UPGRADE:
            self._receiving = ENDED
