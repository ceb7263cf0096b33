"""
The receiving half of a session: each frame against the rules, then to whom it concerns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from appproxy.tunnel import frames
from appproxy.tunnel.config_transfer import ConfigReceiver
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.frames import BLOCKED, DATA, FIN, HEAD, MAX_NUMBER, OPEN, TIMES, Decoder
from appproxy.tunnel.handler import DEAF
from appproxy.tunnel.messages import (
    NO_BODY,
    OpenMessage,
    pack_reason,
    unpack_go_away,
    unpack_hello,
    unpack_long,
    unpack_number,
    unpack_principal,
    unpack_reason,
    unpack_settings,
)
from appproxy.tunnel.stream import (
    AFTER_DATA,
    AFTER_END,
    AFTER_HEAD,
    AFTER_TRAILERS,
    AFTER_UPGRADED,
    AWAIT_HEAD,
    AWAIT_UPGRADE,
    BODY,
    ENDED,
    ENDLESS,
    RAW,
    Stream,
)
from appproxy.tunnel.times import TIMES_SIZE

if TYPE_CHECKING:
    from appproxy.tunnel.state import SessionState

FrameHandler = Callable[[int, int, bytes], None]
"""Called with flags, stream number and payload."""


class Inbound:
    """Takes in what the peer sends."""

    __slots__ = ("_config", "_decoder", "_kinds", "_recent", "_request", "_response", "_state", "_streams")

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._streams = state.streams
        # Whose frame came last: the next one is often its too.
        self._recent: Stream | None = None
        self._decoder = Decoder()
        self._config = ConfigReceiver(state.settings.max_config)
        self._kinds: dict[int, FrameHandler] = {frames.HELLO: self._on_hello}
        # Whether OPEN is handled, and HEAD and TIMES: with DATA they are most frames, and need no look-up.
        self._request = self._response = False

    def receive(self, data: bytes) -> None:
        """
        Take in bytes, in any split.

        @raise TunnelError: nothing that this peer says can be trusted any more.
        """
        decoder = self._decoder
        decoder.feed(data)
        while decoder.next():
            kind, flags, number, payload = decoder.kind, decoder.flags, decoder.number, decoder.payload
            try:
                if kind == DATA:
                    self._on_data(flags, number, payload)
                elif kind == OPEN and self._request:
                    self._on_open(flags, number, payload)
                elif kind == HEAD and self._response:
                    self._on_head(flags, number, payload)
                elif kind == TIMES and self._response:
                    self._on_times(flags, number, payload)
                else:
                    known = self._kinds.get(kind)
                    if known is None:
                        self._on_unknown(kind)
                    else:
                        known(flags, number, payload)
            except TunnelError:
                raise
            except Exception:
                self._state.bug(number)
        if self._state.box.flooded:
            raise TunnelError("flood", "the peer does not read our answers")

    def close(self) -> None:
        """The connection is gone: what is left of the bytes at hand means nothing."""
        self._kinds = {}
        self._request = self._response = False

    def _on_unknown(self, kind: int) -> None:
        state = self._state
        if state.peer_hello is None and not state.lost:
            raise TunnelError("hello", f"a frame of kind {kind:#x} before HELLO")
        if kind >= frames.CRITICAL_FROM:
            raise TunnelError("unknown_frame", f"a frame of kind {kind:#x}")
        state.waste()

    def _on_misplaced(self, flags: int, number: int, payload: bytes) -> None:
        raise TunnelError("role", "a frame that only the other side may send")

    def _on_second_hello(self, flags: int, number: int, payload: bytes) -> None:
        raise TunnelError("hello", "a second HELLO")

    # -- the tunnel

    def _on_hello(self, flags: int, number: int, payload: bytes) -> None:
        state = self._state
        hello = unpack_hello(payload)
        if hello.role == state.role:
            raise TunnelError("role", f"both sides are {state.role}s")
        state.peer_hello = hello
        state.peer = hello.settings
        state.up = not state.goodbye_sent
        self._kinds = self._kinds_of_role()
        self._request, self._response = state.role == "acceptor", state.role == "opener"
        state.listener.hello(hello)

    def _kinds_of_role(self) -> dict[int, FrameHandler]:
        both: dict[int, FrameHandler] = {
            frames.HELLO: self._on_second_hello,
            frames.SETTINGS: self._on_settings,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_go_away,
            frames.TRAILERS: self._on_trailers,
            frames.END: self._on_end,
            frames.RESET: self._on_reset,
            frames.WINDOW: self._on_window,
            frames.CONFIG: self._on_config,
            frames.APPLIED: self._on_applied,
            frames.RENEW: self._on_renew,
        }
        from_acceptor: dict[int, FrameHandler] = {
            frames.HEAD: self._on_head,
            frames.UPGRADED: self._on_upgraded,
            frames.TIMES: self._on_times,
        }
        from_opener: dict[int, FrameHandler] = {
            frames.OPEN: self._on_open,
            frames.PRINCIPAL: self._on_principal,
            frames.FORGET: self._on_forget,
            frames.CLIENT_GONE: self._on_client_gone,
        }
        if self._state.role == "opener":
            return both | from_acceptor | dict.fromkeys(from_opener, self._on_misplaced)
        return both | from_opener | dict.fromkeys(from_acceptor, self._on_misplaced)

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        state = self._state
        state.waste()
        state.peer = unpack_settings(payload, state.peer)

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        self._state.waste()
        if flags & frames.ACK:
            self._state.listener.pong(payload)
        else:
            self._state.box.control(frames.PING, 0, payload, frames.ACK)

    def _on_go_away(self, flags: int, number: int, payload: bytes) -> None:
        state = self._state
        last, reason, detail = unpack_go_away(payload)
        if state.peer_goodbye is not None:
            state.waste()
            return
        state.peer_goodbye = (reason, detail)
        state.up = False
        if state.role == "opener":
            for stream in [each for each in state.streams.values() if each.id > last]:
                state.end_stream(stream, "draining", "the peer goes away")
        state.listener.going_away()

    def _on_config(self, flags: int, number: int, payload: bytes) -> None:
        document = self._config.receive(payload, bool(flags & frames.MORE))
        if document is not None:
            self._state.listener.config(*document)

    def _on_applied(self, flags: int, number: int, payload: bytes) -> None:
        self._state.listener.applied(unpack_long(payload)[0])

    def _on_renew(self, flags: int, number: int, payload: bytes) -> None:
        self._state.listener.renew(payload)

    # -- principals

    def _on_principal(self, flags: int, number: int, payload: bytes) -> None:
        principals, settings = self._state.principals, self._state.settings
        principal_number, claims, proof = unpack_principal(payload)
        principals.add(principal_number, claims, proof)
        if len(principals) > settings.max_principals or principals.size > settings.max_principal_bytes:
            raise TunnelError("principal", "more principals than were announced")
        self._state.listener.principal(principal_number, claims)

    def _on_forget(self, flags: int, number: int, payload: bytes) -> None:
        state = self._state
        principal_number = unpack_number(payload)
        if state.principals.forget(principal_number):
            state.end_streams_of(principal_number)
            state.listener.forgotten(principal_number)
        else:
            state.waste()

    def _on_client_gone(self, flags: int, number: int, payload: bytes) -> None:
        self._state.listener.client_gone(unpack_long(payload)[0])

    # -- streams

    def _on_open(self, flags: int, number: int, payload: bytes) -> None:
        state = self._state
        message = OpenMessage.unpack(payload)
        if not state.last_stream < number <= MAX_NUMBER:
            raise TunnelError("stream_number", f"stream {number} comes after {state.last_stream}")
        complete = bool(flags & FIN)
        if complete != (message.body == NO_BODY and not message.upgrade):
            raise TunnelError("bad_message", "OPEN says two things of its body")
        state.principals.check(message.principal_number, message.principal_digest)
        if state.goodbye_sent:
            state.waste()  # GOAWAY, which is under way, tells the opener that we ignore it
        elif len(state.streams) >= state.max_streams:
            state.last_stream = number
            state.waste()
            state.box.control(frames.RESET, number, pack_reason("overloaded", "too many streams"))
        else:
            state.idle = 0
            receiving = ENDED if complete else AWAIT_UPGRADE if message.upgrade else BODY
            stream = state.add_stream(
                number, message.principal_number, message.upgrade, DEAF, AWAIT_HEAD, receiving
            )
            state.listener.opened(stream, message)
            if stream.handler is DEAF and not stream.closed:
                stream.reset("bug", "nobody serves this stream")

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._stream(number)
        if stream is None:
            self._state.late(number)
            return
        after = AFTER_DATA[stream._receiving]
        if after < 0:
            raise TunnelError("stream_state", f"DATA on stream {number} in state {stream._receiving}")
        stream._receiving = after
        if payload:
            stream._room -= len(payload)
            stream._rest -= len(payload)
            if stream._room < 0:
                raise TunnelError("flow_control", f"stream {number} has no credit left")
            self._state.idle = 0
            stream.handler.data(payload)
        elif not flags:
            self._state.waste()
        if flags & FIN:
            self._end(stream)
        elif stream._receiving != ENDED:
            self._give_credit(stream, flags & BLOCKED != 0)

    def _give_credit(self, stream: Stream, blocked: bool) -> None:
        if stream._paused:
            if blocked:
                # There is more than was expected: whoever resumes it has to see that.
                stream._rest = ENDLESS
        elif blocked:
            self._state.grow(stream)
        elif stream.starving:
            self._state.grant(stream)

    def _on_head(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._advance(number, AFTER_HEAD)
        if stream is not None:
            stream.handler.head(payload)
            if flags & FIN:
                self._end(stream)

    def _on_trailers(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._advance(number, AFTER_TRAILERS)
        if stream is not None:
            stream.handler.trailers(payload)
            if flags & FIN:
                self._end(stream)

    def _on_end(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._stream(number)
        if stream is None:
            self._state.late(number)
        else:
            self._end(stream)

    def _on_upgraded(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._advance(number, AFTER_UPGRADED)
        if stream is None:
            return
        if not stream.upgrade:
            raise TunnelError("stream_state", f"stream {number} asked for no upgrade")
        if stream._sending == AWAIT_UPGRADE:
            stream._sending = RAW
        stream.handler.upgraded()

    def _on_times(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) < TIMES_SIZE:
            raise TunnelError("bad_message", "TIMES is too short")
        stream = self._stream(number)
        if stream is None:
            self._state.late(number)
        else:
            self._state.waste()
            stream.handler.times(payload)

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._stream(number)
        reason, detail = unpack_reason(payload)
        if stream is None:
            self._state.late(number)
        else:
            self._state.idle = 0
            self._state.end_stream(stream, reason, detail)

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        amount = unpack_number(payload)
        stream = self._stream(number)
        if stream is None:
            self._state.late(number)
            return
        if stream._credit + amount > MAX_NUMBER:
            raise TunnelError("flow_control", f"stream {number} was granted too much")
        self._state.idle = 0
        stream.credited(amount)

    def _stream(self, number: int) -> Stream | None:
        """The stream of this number; L{None} if it is over, or never began."""
        recent = self._recent
        if recent is not None and recent.id == number and recent.listed:
            return recent
        self._recent = found = self._streams.get(number)
        return found

    def _advance(self, number: int, after: tuple[int, ...]) -> Stream | None:
        """The stream in its next state; L{None} if it is over already."""
        stream = self._stream(number)
        if stream is None:
            self._state.late(number)
            return None
        state = after[stream._receiving]
        if state < 0:
            raise TunnelError("stream_state", f"a frame on stream {number} in state {stream._receiving}")
        stream._receiving = state
        self._state.idle = 0
        return stream

    def _end(self, stream: Stream) -> None:
        """The peer's direction ends."""
        if AFTER_END[stream._receiving] < 0:
            if stream.closed:
                return  # its handler reset it a moment ago, for this very frame
            raise TunnelError("stream_state", f"stream {stream.id} ends in state {stream._receiving}")
        self._state.idle = 0
        stream._receiving = ENDED
        if stream._sending == AWAIT_UPGRADE:
            # Answered otherwise: nothing was ever to follow the request.
            stream._sending = ENDED
            stream._fin_sent = True
        self._recent = None  # little comes on it any more, and nobody holds what is over
        if stream._fin_sent:
            self._state.removed(stream)
        stream.handler.ended()
