"""
What both halves of a session share: its streams, its credit, its patience.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from appproxy.tunnel import frames
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.handler import DEAF, StreamHandler
from appproxy.tunnel.messages import PeerHello, Role, pack_number
from appproxy.tunnel.outbox import KIB, Outbox
from appproxy.tunnel.principals import Principals
from appproxy.tunnel.settings import PeerSettings, TunnelSettings
from appproxy.tunnel.stream import ENDED, Stream

if TYPE_CHECKING:
    from appproxy.tunnel.session import TunnelListener

_log: Final = Logger(__name__)

SMALLEST_GROWTH: Final = 16 * KIB
"""Less growth of a window is not worth a frame."""

IDLE_FRAMES: Final = 65_536
"""
Frames in a row that move nothing: late ones for reset streams, pings, empty DATA.
A thousand streams reset in full flow leave some 10,000.
"""


class SessionState:
    """
    One tunnel's state. A friend of L{Stream}: each reads the other's fields.

    @ivar last_stream: the last number opened, here or by the peer.
    @ivar goodbye_sent: whether we sent GOAWAY.
    @ivar lost: whether the connection is gone.
    @ivar up: whether new streams may begin: after HELLO, before any GOAWAY.
    @ivar idle: frames since the last one that moved something.
    """

    __slots__ = (
        "_growth_left",
        "box",
        "goodbye_sent",
        "idle",
        "last_stream",
        "listener",
        "lost",
        "max_streams",
        "peer",
        "peer_goodbye",
        "peer_hello",
        "principals",
        "role",
        "settings",
        "streams",
        "streams_opened",
        "up",
    )

    def __init__(self, role: Role, settings: TunnelSettings, listener: TunnelListener, box: Outbox) -> None:
        self.role: Role = role
        self.settings = settings
        self.listener = listener
        self.box = box
        self.streams: dict[int, Stream] = {}
        self.streams_opened = 0
        self.last_stream = 0
        self.max_streams = settings.max_streams
        self.principals = Principals()
        self.peer = PeerSettings()
        self.peer_hello: PeerHello | None = None
        self.peer_goodbye: tuple[str, str] | None = None
        self.goodbye_sent = False
        self.lost = False
        self.up = False
        self._growth_left = settings.growth_limit
        self.idle = 0

    def add_stream(
        self,
        number: int,
        principal_number: int,
        upgrade: bool,
        handler: StreamHandler,
        sending: int,
        receiving: int,
    ) -> Stream:
        """Begin a stream, whoever opened it."""
        stream = Stream(
            self,
            number,
            principal_number,
            upgrade,
            handler,
            self.peer.initial_window,
            self.settings.initial_window,
            sending,
            receiving,
        )
        self.last_stream = number
        self.streams[number] = stream
        self.streams_opened += 1
        return stream

    # -- credit

    def grant(self, stream: Stream) -> None:
        """Give a stream's peer the credit that its window has room for."""
        amount = stream._window - stream._room
        stream._room = stream._window
        self.box.control(frames.WINDOW, stream.id, pack_number(amount))

    def grow(self, stream: Stream) -> None:
        """The window, not the reader, held the peer back: double it while there is room for that."""
        window = stream._window
        more = min(window, self.settings.max_window - window, self._growth_left >> 1)
        if more >= SMALLEST_GROWTH:
            self._growth_left -= more
            stream._window = window + more
        if stream._room < stream._window:
            self.grant(stream)

    # -- the end of streams

    def removed(self, stream: Stream) -> None:
        """A stream is over in both directions."""
        if stream.listed:
            stream.listed = False
            del self.streams[stream.id]
            grown = stream._window - self.settings.initial_window
            if grown:
                self._growth_left += grown

    def discard(self, stream: Stream) -> None:
        """Drop a stream and what it had queued; its handler is not told."""
        self.box.queued -= stream._queued
        stream._queued = 0
        if stream._pending:
            stream._pending.clear()
        stream._receiving = stream._sending = ENDED
        stream._fin_sent = True
        self.removed(stream)

    def end_stream(self, stream: Stream, reason: str, detail: str) -> None:
        """Drop a stream and tell its handler."""
        handler = stream.handler
        self.discard(stream)
        stream.handler = DEAF
        self.guarded(stream, handler.reset, reason, detail)

    def end_streams_of(self, principal_number: int) -> None:
        """A principal is gone, and its streams with it."""
        for stream in [each for each in self.streams.values() if each.principal_number == principal_number]:
            self.end_stream(stream, "session_ended", "")

    # -- patience

    def waste(self) -> None:
        """
        A frame moved nothing.

        @raise TunnelError: C{flood}, after too many of them in a row.
        """
        self.idle += 1
        if self.idle > IDLE_FRAMES:
            raise TunnelError("flood", "too many frames that move nothing")

    def late(self, number: int) -> None:
        """
        A frame of a stream that is over on this side: not an error, unless it never began.

        @raise TunnelError: C{hello} or C{stream_number}.
        """
        if self.peer_hello is None:
            raise TunnelError("hello", "a frame before HELLO")
        # After our GOAWAY the peer's newest streams are ignored, and their frames with them.
        ignored = self.goodbye_sent and self.role == "acceptor"
        if not 0 < number <= self.last_stream and not ignored:
            raise TunnelError("stream_number", f"stream {number} was never opened")
        self.waste()

    # -- our own bugs

    def guarded(self, stream: Stream, call: Callable[..., object], *arguments: Any) -> None:
        """Call a stream's handler where its bug must not hurt other streams."""
        try:
            call(*arguments)
        except Exception:
            self.bug(stream.id)

    def bug(self, number: int) -> None:
        """
        One of our callbacks raised: its stream pays for it; without a stream, the tunnel.

        The stream's handler is told, or whoever waits for it would wait for ever.

        @raise TunnelError: C{bug}.
        """
        _log.failure(
            "{event}: a callback of stream {stream} raised", event="bug", fault="ours", stream=number
        )
        stream = self.streams.get(number)
        if stream is not None:
            handler = stream.handler
            stream.reset("bug")
            self.guarded(stream, handler.reset, "bug", "")
        elif not number:
            raise TunnelError("bug", "a callback raised")
