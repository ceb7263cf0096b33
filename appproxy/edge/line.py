"""
One client connection as a line, whatever it carries: gathered writes, the
client's reading pace, and an end in good order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr
from twisted.internet.interfaces import IPushProducer
from zope.interface import classImplements

from appproxy.bare import BareProtocol
from appproxy.transport.departure import has_left
from appproxy.transport.wheel import Timer, TimerWheel

WRITE_PIECE_BYTES: Final = 64 * 1024
"""Twisted's TLS is three times slower when it is given more at a time (measured)."""

JOINED_BYTES: Final = 16 * 1024
"""Pieces that fill no more than one record of TLS are joined before it is encrypted; more are not copied."""

DRAIN_BYTES: Final = 1 << 20
DRAIN_SECONDS: Final = 2.0
"""
How much of an upload is still read after its answer: closing at once would make
the kernel send a reset that destroys the answer on its way (RFC 9112, section 9.6).
"""

CLOSE_SECONDS: Final = 30.0
"""How long a peer may take to read the rest and to close its side before the connection is cut."""

STALL_SECONDS: Final = 600.0
"""
A client that takes nothing of a full buffer for so long is gone, or holds a stream
on purpose. A paused film is read on by a new request.
"""

GONE_SECONDS: Final = 5.0
"""
Between two looks whether a client that nothing is read from has left: what it asked for would be held until
somebody wanted to write to it.
"""


@mypyc_attr(allow_interpreted_subclasses=True)
class Line(BareProtocol):
    """
    What the transport of one client connection needs; what is said on it is
    its subclasses' business.

    @ivar _closing: nothing more is read or begun on this connection.
    @ivar _client_is_slow: the transport has enough for now.
    """

    def __init__(
        self, wheel: TimerWheel, schedule: Callable[[Callable[[], None]], None], half_close: bool
    ) -> None:
        """
        @param half_close: close our direction first, where the transport is plain TCP;
            TLS has its own way to say so.
        """
        self._wheel = wheel
        self._schedule = schedule
        self._half_close = half_close
        self._out: list[bytes] = []
        self._scheduled = False
        # The same one each time; gone when the line is lost.
        self._flush_call: Callable[[], None] | None = self._flush
        self._reading_paused = self._closing = self._client_is_slow = False
        self._drained_bytes = 0
        self._close_timer: Timer | None = None
        self._stall_timer: Timer | None = None
        self._gone_timer: Timer | None = None

    # -- IPushProducer: the client's reading pace

    def pauseProducing(self) -> None:
        """The client reads slower than we write."""
        self._client_is_slow = True
        if self._stall_timer is None:
            self._stall_timer = self._wheel.add(STALL_SECONDS, self._stalled)
        self._pace_changed(True)

    def resumeProducing(self) -> None:
        """The client has caught up."""
        self._client_is_slow = False
        self._cancel_stall_timer()
        if self._closing:
            self._close()
        else:
            self._pace_changed(False)

    def stopProducing(self) -> None:
        """The transport is gone; C{connectionLost} follows."""

    # -- for the subclass

    def write(self, data: bytes) -> None:
        """Queue bytes; what a turn of the reactor queues leaves in one write."""
        flush = self._flush_call
        if flush is None:
            return
        self._out.append(data)
        if not self._scheduled:
            self._scheduled = True
            self._schedule(flush)

    def _pace_changed(self, slow: bool) -> None:
        """The client reads slower than we write, or has caught up."""

    def _let_go(self) -> None:
        """The connection ends: whoever is at work for it can stop."""

    def _pause_reading(self, paused: bool) -> None:
        """Read nothing for now, or go on."""
        if paused == self._reading_paused or self._closing:
            return
        self._reading_paused = paused
        if paused:
            self.transport.pauseProducing()
            if self._gone_timer is None:
                self._gone_timer = self._wheel.add(GONE_SECONDS, self._look_for_client)
        else:
            self.transport.resumeProducing()

    def _hang_up(self) -> None:
        """Close in good order: what was written still arrives."""
        if self._closing:
            return
        self._let_go()
        # Read on, for the end of what the client sends and for its close.
        self._pause_reading(False)
        self._closing = True
        self._flush()
        if not self._client_is_slow:
            self._close()

    def _cut(self) -> None:
        """Close at once; what was not sent yet never is."""
        self._let_go()
        self._closing = True
        self._out = []
        self.transport.abortConnection()

    def _drain(self, size: int) -> None:
        """
        Count bytes that came for nothing. After too many no more are read, and the client
        has its time to read the answer; a cut would destroy what of that is still on its way.
        """
        self._drained_bytes += size
        if self._drained_bytes > DRAIN_BYTES:
            self._hang_up()
            self.transport.pauseProducing()

    def _line_lost(self) -> None:
        """The connection is gone: leave no timer behind."""
        self._closing = True
        self._out = []
        self._flush_call = None
        self._cancel_close_timer()
        self._cancel_stall_timer()
        if self._gone_timer is not None:
            self._gone_timer.cancel()
            self._gone_timer = None

    # -- inside

    def _flush(self) -> None:
        self._scheduled = False
        out, self._out = self._out, []
        size = 0
        for piece in out:
            size += len(piece)
        if size == 0:
            return
        if size <= JOINED_BYTES:
            # A head and a small body, mostly.
            self.transport.write(b"".join(out))
        else:
            self._flush_in_groups(out)

    def _flush_in_groups(self, out: list[bytes]) -> None:
        group: list[bytes] = []
        size = 0
        for piece in out:
            if size + len(piece) > WRITE_PIECE_BYTES and group:
                self._write_group(group, size)
                group, size = [], 0
            if len(piece) > WRITE_PIECE_BYTES:
                self._write_large(piece)
            else:
                group.append(piece)
                size += len(piece)
        if group:
            self._write_group(group, size)

    def _write_group(self, group: list[bytes], size: int) -> None:
        if len(group) == 1:
            self.transport.write(group[0])
        elif size <= JOINED_BYTES:
            self.transport.write(b"".join(group))
        else:
            self.transport.writeSequence(group)

    def _write_large(self, data: bytes) -> None:
        for start in range(0, len(data), WRITE_PIECE_BYTES):
            self.transport.write(data[start : start + WRITE_PIECE_BYTES])

    def _close(self) -> None:
        transport = self.transport
        transport.unregisterProducer()
        if self._half_close:
            getattr(transport, "loseWriteConnection", transport.loseConnection)()
        else:
            transport.loseConnection()
        self._cancel_close_timer()
        self._close_timer = self._wheel.add(CLOSE_SECONDS, transport.abortConnection)

    def _look_for_client(self) -> None:
        # Reading pauses and goes on many times a second in a large upload: one timer for all of that.
        self._gone_timer = None
        if not self._reading_paused or self._closing:
            return
        if has_left(self.transport):
            self._cut()
        else:
            self._gone_timer = self._wheel.add(GONE_SECONDS, self._look_for_client)

    def _stalled(self) -> None:
        self._stall_timer = None
        self._cut()

    def _cancel_close_timer(self) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


classImplements(Line, IPushProducer)
