"""
A tunnel session on a Twisted transport.

Time, sockets and producers are here; what the bytes mean is in
L{appproxy.tunnel.session}.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from mypy_extensions import mypyc_attr
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from appproxy.bare import BareProtocol
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.session import TunnelSession

_log: Final = Logger(__name__)

ALPN: Final = b"appproxy-tunnel/1"

TURN_BYTES: Final = 256 << 10
"""What one turn of the reactor writes at most: more would hold up the small frames of the next turn."""

PIECE_BYTES: Final = 64 << 10
"""What a transport that may be full is given at a time; it says so in between."""

WRITE_BYTES: Final = 66 << 10
"""
One write: a full DATA frame with its header. Twisted's TLS slices what it is given
again and again, so that larger writes cost more than several of these.
"""

PING_SECONDS: Final = 20.0
"""Below the half minute after which home routers forget an idle connection."""

DEAD_SECONDS: Final = 45.0
"""Two pings lost, and some patience."""

HELLO_SECONDS: Final = 10.0
"""A peer that passed the TLS handshake sends its HELLO at once."""

CHECK_SECONDS: Final = 5.0
"""How often a tunnel looks at its clock: a flag for each read is cheaper than a time."""

CLOSE_SECONDS: Final = 5.0
"""
How long a closing tunnel waits for its last frames to leave before it aborts. One that drained has all of its
time: the end of an answer is among them, and a slow line may need half a minute for what the kernel holds.
"""

ANSWER_SECONDS: Final = 10.0
"""How long a tunnel that nothing goes through is kept for an answer before it ends: its peer may be gone."""

_ECHO: Final = Struct(">d")
_LAST_OPEN: Final = b"last open"
"""A ping of this text comes back behind every OPEN that the peer had sent before it."""


@mypyc_attr(allow_interpreted_subclasses=True)
class TunnelProtocol(BareProtocol):
    """
    The thin adapter between a session and a transport.

    @ivar session: made when the connection is.
    @ivar lost: fires with the reason, once, when the connection is gone.
    @ivar refused: why the peer was turned away before anything was said; empty if it was not.
    @ivar farewell: the frames that tell it so; empty to say nothing.
    @ivar round_trip: seconds that the last ping took; L{None} before the first.
    @ivar bytes_received: of the tunnel's plain bytes, for metrics.
    @ivar bytes_sent: likewise.
    @ivar paused_total: seconds for which the transport took nothing.
    """

    session: TunnelSession

    def __init__(
        self,
        session_factory: Callable[[Callable[[], None]], TunnelSession],
        clock: IReactorTime,
        schedule: Callable[[Callable[[], None]], None],
        *,
        ping_seconds: float = PING_SECONDS,
        dead_seconds: float = DEAD_SECONDS,
        hello_seconds: float = HELLO_SECONDS,
    ) -> None:
        """
        @param session_factory: makes the session from its C{wake}.
        @param schedule: calls back once at the end of the reactor's turn.
        """
        self._session_factory = session_factory
        self._clock = clock
        self._schedule = schedule
        self._ping_seconds = ping_seconds
        self._dead_seconds = dead_seconds
        self._hello_seconds = hello_seconds
        self._flush_due = False
        self._paused_at: float | None = None
        self._closing = False
        self._reason = ""
        self.refused = ""
        self.farewell = b""
        self._heard = False
        self._silent_since = 0.0
        self._pinged_at = 0.0
        self._timers: dict[str, IDelayedCall] = {}
        self._drained: Callable[[], None] | None = None
        self._waiting: list[Deferred[str]] = []
        self.lost: Deferred[str] = Deferred()
        self.round_trip: float | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self.paused_total = 0.0

    # -- from the transport

    def connectionMade(self) -> None:
        """Say HELLO, and wait for the peer's; unless it is the wrong one."""
        self.refused = self.unfit_peer()
        if self.refused:
            self._turn_away()
            return
        self._silent_since = self._pinged_at = self._clock.seconds()
        self.session = self._session_factory(self._wake)
        self.transport.registerProducer(self, True)
        self._later("hello", self._hello_seconds, self._hello_missing)
        self._later("check", CHECK_SECONDS, self._check)
        self._wake()

    def unfit_peer(self) -> str:
        """For subclasses: what is wrong with the peer, before a byte is sent or read; empty if nothing is."""
        return ""

    def _turn_away(self) -> None:
        """Nothing of an unfit peer is read; it may hear why."""
        transport: Any = self.transport
        if not self.farewell:
            self.abort(self.refused)
            return
        self._reason = self.refused
        self._closing = True
        transport.write(self.farewell)
        transport.loseConnection()
        self._later("close", CLOSE_SECONDS, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes to the session; a broken rule ends the tunnel."""
        if self._closing:
            return
        self._heard = True
        self.bytes_received += len(data)
        try:
            self.session.receive(data)
        except TunnelError as error:
            self._fail(error)
            return
        if "hello" in self._timers and self.session.peer_hello is not None:
            self._cancel("hello")
        if self._drained is not None:
            self._wake()  # the last stream may just have ended without a frame of ours

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Reset every stream and tell C{lost}."""
        self._closing = True
        for name in list(self._timers):
            self._cancel(name)
        why = self._reason or reason.getErrorMessage()
        if not self.refused:
            self.session.connection_lost(why)
        self._drained = None
        self._reason = why
        waiting, self._waiting = self._waiting, []
        for each in (self.lost, *waiting):
            each.callback(why)

    def pauseProducing(self) -> None:
        """The transport has enough: output stays in the session, where it is fair."""
        if self._paused_at is None:
            self._paused_at = self._clock.seconds()

    def resumeProducing(self) -> None:
        """The transport takes more."""
        if self._paused_at is not None:
            self.paused_total += self._clock.seconds() - self._paused_at
            self._paused_at = None
            self._wake()

    def stopProducing(self) -> None:
        """The transport is going away; C{connectionLost} follows."""

    # -- for the tunnel's user

    def drain(self, timeout: float, reason: str = "draining") -> Deferred[str]:
        """
        Take no new streams, let those under way end, then close.

        @param timeout: seconds after which the rest is reset with C{draining}.
        @return: fires with the reason when the connection is gone, as L{lost} does.
        """
        done: Deferred[str] = Deferred()
        if self.lost.called:
            done.callback(self._reason)
            return done
        self._waiting.append(done)
        self.session.go_away(reason)
        self._drained = self._close_when_idle
        self._later("drain", timeout, self._drain_is_over)
        self._wake()
        return done

    def retire(self, timeout: float) -> Deferred[str]:
        """
        L{drain}, without giving up a stream that the peer is just opening: first it is told that it may
        have none (SETTINGS), and GOAWAY follows once it must have read that (C{docs/tunnel.md}, section 11),
        or has been silent for L{ANSWER_SECONDS} and nothing is under way.

        @param timeout: seconds, as L{drain}.
        @return: as L{drain}.
        """
        if self.session.role == "opener" or self.session.peer_hello is None or self.lost.called:
            return self.drain(timeout)
        done: Deferred[str] = Deferred()
        self._waiting.append(done)
        self.session.send_settings(max_streams=0)
        self.session.ping(_LAST_OPEN)
        self._later("answer", ANSWER_SECONDS, self._no_answer)
        self._later("drain", timeout, self._drain_is_over)
        self._wake()
        return done

    def abort(self, reason: str) -> None:
        """Close at once, for instance because the peer's certificate was revoked."""
        self._reason = self._reason or reason
        self._closing = True
        transport: Any = self.transport
        transport.abortConnection()

    # -- output

    def _wake(self) -> None:
        if not self._flush_due and self._paused_at is None and not self._closing:
            self._flush_due = True
            self._schedule(self._flush)

    def _flush(self) -> None:
        """The turn's write."""
        self._flush_due = False
        if self._paused_at is not None or self._closing:
            return
        self._write_turn()
        if self.session.pending_output:
            self._wake()
        elif self._drained is not None:
            self._drained()

    def _write_turn(self) -> None:
        """All prompt frames, then the rest piece by piece, so that a transport that is full gets no more."""
        session, left = self.session, TURN_BYTES
        piece = session.prompt_output + PIECE_BYTES
        while left > 0 and session.pending_output and self._paused_at is None and not self._closing:
            parts = session.take_output(min(piece, left))
            if not parts:
                return
            size = session.taken_output
            left -= size
            piece = PIECE_BYTES
            self._write(parts, size)

    def _write(self, parts: list[bytes | memoryview], size: int) -> None:
        transport: Any = self.transport
        self.bytes_sent += size
        if size <= WRITE_BYTES:
            transport.write(b"".join(parts))
            return
        start = size = 0
        for index, part in enumerate(parts):
            size += len(part)
            if size > WRITE_BYTES and index > start:
                transport.write(b"".join(parts[start:index]))
                start, size = index, len(part)
        transport.write(b"".join(parts[start:]))

    # -- time

    def _later(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self._clock.callLater(seconds, self._due, name, call)

    def _due(self, name: str, call: Callable[[], None]) -> None:
        del self._timers[name]
        call()

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _hello_missing(self) -> None:
        self._fail(TunnelError("hello", f"no HELLO within {self._hello_seconds:g} s"))

    def _check(self) -> None:
        """Notice a dead peer; keep a quiet connection alive."""
        now = self._clock.seconds()
        if self._heard:
            self._heard = False
            self._silent_since = now
        if now - self._silent_since >= self._dead_seconds:
            self._dead("nothing was heard")
        elif self._paused_at is not None and now - self._paused_at >= self._dead_seconds:
            self._dead("nothing was taken")
        else:
            if now - self._pinged_at >= self._ping_seconds:
                self._pinged_at = now
                self.session.ping(_ECHO.pack(now))
            self._later("check", CHECK_SECONDS, self._check)

    def _dead(self, what: str) -> None:
        _log.warn(
            "{event}: {what} for {seconds} s",
            event="tunnel_dead",
            fault="peer",
            what=what,
            seconds=self._dead_seconds,
        )
        self.abort(f"{what} for {self._dead_seconds:g} s")

    def pong(self, payload: bytes) -> None:
        """For the session's listener: note how long the ping took, or that the peer opens no more streams."""
        if payload == _LAST_OPEN:
            self._last_opened()
        elif len(payload) == _ECHO.size:
            self.round_trip = max(0.0, self._clock.seconds() - _ECHO.unpack(payload)[0])

    # -- the end

    def _last_opened(self) -> None:
        self._cancel("answer")
        self.session.go_away("draining")
        self._drained = self._close_when_idle
        self._wake()

    def _no_answer(self) -> None:
        if self.session.active_streams:
            self._later("answer", ANSWER_SECONDS, self._no_answer)
        else:
            self._last_opened()

    def _fail(self, error: TunnelError) -> None:
        _log.warn(
            "{event}: {code}: {detail}",
            event="tunnel_error",
            fault="ours" if error.code == "bug" else "peer",
            code=error.code,
            detail=error.detail,
        )
        self.session.go_away(error.code, error.detail)
        self._close(str(error))

    def _close_when_idle(self) -> None:
        if not self.session.active_streams:
            left = self._timers["drain"].getTime() - self._clock.seconds()
            self._close("drained", max(left, CLOSE_SECONDS))

    def _drain_is_over(self) -> None:
        self.session.reset_all("draining", "the tunnel closes")
        self._close("drained in part")

    def _close(self, reason: str, seconds: float = CLOSE_SECONDS) -> None:
        """Send what fits, then close in an orderly way; abort if that takes too long."""
        self._reason = self._reason or reason
        self._cancel("drain")
        transport: Any = self.transport
        parts = self.session.take_output(TURN_BYTES)
        if parts and self._paused_at is None:
            self._write(parts, self.session.taken_output)
        self._closing = True
        transport.unregisterProducer()
        transport.loseConnection()
        self._later("close", seconds, transport.abortConnection)


classImplements(TunnelProtocol, IPushProducer)
