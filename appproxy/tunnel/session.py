"""
One end of a tunnel as a pure machine: bytes in, calls out, bytes out.

It knows streams, credit, principals and fairness; no time and no sockets. The
rules are those of C{docs/tunnel.md}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.logger import Logger

from appproxy.tunnel import frames
from appproxy.tunnel.config_transfer import ConfigReceiver, ConfigSender
from appproxy.tunnel.errors import TunnelError, TunnelRefused
from appproxy.tunnel.frames import BLOCKED, DATA, FIN, MAX_NUMBER, Decoder
from appproxy.tunnel.messages import (
    NO_BODY,
    OpenMessage,
    PeerHello,
    Role,
    pack_hello,
    pack_long,
    pack_number,
    pack_principal,
    pack_reason,
    pack_settings,
    unpack_go_away,
    unpack_hello,
    unpack_long,
    unpack_number,
    unpack_principal,
    unpack_reason,
    unpack_settings,
)
from appproxy.tunnel.outbox import CONTROL_FLOOD, KIB, Outbox
from appproxy.tunnel.principals import Principals
from appproxy.tunnel.settings import BOUNDS, CHANGEABLE, PeerSettings, TunnelSettings
from appproxy.tunnel.stream import (
    AFTER_DATA,
    AFTER_END,
    AFTER_HEAD,
    AFTER_TRAILERS,
    AFTER_UPGRADED,
    AWAIT_HEAD,
    AWAIT_UPGRADE,
    BODY,
    DEAF,
    ENDED,
    RAW,
    Stream,
    StreamHandler,
)

_log = Logger()

SMALLEST_GROWTH: Final = 16 * KIB
"""Less growth of a window is not worth a frame."""

IDLE_FRAMES: Final = 65_536
"""
Frames in a row that move nothing: late ones for reset streams, pings, empty DATA.
A thousand streams reset in full flow leave some 10,000.
"""


class TunnelListener(Protocol):
    """
    What a session tells its user beside what it tells stream handlers.

    Any method may raise L{TunnelError} to close the tunnel; any other exception
    closes it too (but in C{opened}, which then only resets the stream).
    """

    def hello(self, peer_hello: PeerHello) -> None:
        """The peer's HELLO: the tunnel is up."""

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """The acceptor's side: a stream; set its C{handler}, or reset it."""

    def principal(self, number: int, payload: bytes) -> None:
        """The acceptor's side: a new principal."""

    def forgotten(self, number: int) -> None:
        """The acceptor's side: a principal is gone; its streams were reset just before."""

    def client_gone(self, client_connection: int) -> None:
        """The acceptor's side: a client's connection closed; what is bound to it goes."""

    def config(self, revision: int, payload: bytes) -> None:
        """A whole CONFIG document; answer with C{send_applied}."""

    def applied(self, revision: int) -> None:
        """The peer applied a CONFIG of ours."""

    def renew(self, payload: bytes) -> None:
        """RENEW: a request for a certificate, or the answer to one."""

    def going_away(self) -> None:
        """The peer serves no new streams, or opens none: L{TunnelSession.peer_goodbye} says why."""

    def pong(self, payload: bytes) -> None:
        """The answer to a ping of ours."""


class TunnelSession:
    """
    One end of a tunnel.

    @ivar role: C{opener} opens streams, C{acceptor} serves them. Who dialled does not matter.
    @ivar peer_hello: the peer's HELLO, or L{None} until it came.
    @ivar peer_goodbye: reason and detail of the peer's GOAWAY, or L{None}.
    @ivar streams_opened: all streams ever.
    """

    def __init__(
        self,
        role: Role,
        settings: TunnelSettings,
        listener: TunnelListener,
        wake: Callable[[], None],
    ) -> None:
        """
        @param wake: called when output becomes available, once until it was taken.
        """
        self.role: Role = role
        self._settings = settings
        self._listener = listener
        self._box = Outbox(wake)
        self._decoder = Decoder()
        self._streams: dict[int, Stream] = {}
        self._principals = Principals()
        self._config_out = ConfigSender(self._box)
        self._config_in = ConfigReceiver(settings.max_config)
        self._max_streams = settings.max_streams
        self._growth_left = settings.growth_limit
        self._peer = PeerSettings()
        self._last_stream = 0
        self._goodbye_sent = False
        self._lost = False
        self._idle = 0
        self._kinds: dict[int, Callable[[int, int, bytes], None]] = {frames.HELLO: self._on_hello}
        self.peer_hello: PeerHello | None = None
        self.peer_goodbye: tuple[str, str] | None = None
        self.streams_opened = 0
        self._box.control(frames.HELLO, 0, pack_hello(role, settings))

    # -- looking

    @property
    def active_streams(self) -> int:
        """Streams that are not over in both directions."""
        return len(self._streams)

    @property
    def peer_settings(self) -> PeerSettings:
        """What the peer announced last."""
        return self._peer

    @property
    def usable(self) -> bool:
        """Whether C{open} is worth trying."""
        return (
            self.peer_hello is not None
            and not self._goodbye_sent
            and self.peer_goodbye is None
            and not self._lost
            and len(self._streams) < self._peer.max_streams
            and not self._box.full
        )

    @property
    def pending_output(self) -> bool:
        """Whether L{take_output} would return something."""
        return self._box.pending

    @property
    def queued(self) -> int:
        """Bytes of DATA that wait in this session."""
        return self._box.queued

    def claims_of(self, number: int) -> bytes | None:
        """The claims of a principal that is known and not forgotten."""
        known = self._principals.get(number)
        return None if known is None else known.claims

    def proof_of(self, number: int) -> bytes | None:
        """The proof that came with a principal; empty if none did."""
        known = self._principals.get(number)
        return None if known is None else known.proof

    def streams_of(self, principal_number: int) -> list[Stream]:
        """The open streams of one principal."""
        return [each for each in self._streams.values() if each.principal_number == principal_number]

    # -- sending

    def take_output(self, max_bytes: int) -> list[bytes | memoryview]:
        """
        What to send next, in order: about C{max_bytes}, at most one frame more.
        """
        return self._box.take(max_bytes)

    def open(self, message: OpenMessage, handler: StreamHandler) -> Stream:
        """
        Begin a stream. With L{NO_BODY} and no upgrade its request is complete at once.

        @raise TunnelRefused: if this tunnel serves no more streams now.
        @raise ValueError: if the message is out of bounds, or names a principal
            that was not told, or was forgotten.
        """
        if self.role != "opener":
            raise RuntimeError("only the opener opens streams")
        self._check_open()
        known = self._principals.get(message.principal_number)
        if message.principal_number and (known is None or known.digest != message.principal_digest):
            raise ValueError("the principal is not known on this tunnel")
        payload = message.pack()
        if len(payload) > frames.MAX_HEAD:
            raise ValueError("the request's head is too large")
        number = self._last_stream = self._last_stream + 1
        upgrade = message.upgrade
        stream = Stream(
            self,
            self._box,
            number,
            message.principal_number,
            upgrade,
            handler,
            self._peer.initial_window,
            self._settings.initial_window,
            AWAIT_UPGRADE if upgrade else ENDED if message.body == NO_BODY else BODY,
            AWAIT_HEAD,
        )
        self._streams[number] = stream
        self.streams_opened += 1
        stream.announce(payload)
        return stream

    def _check_open(self) -> None:
        self._check_alive()
        if self._goodbye_sent or self.peer_goodbye is not None:
            raise TunnelRefused("draining", "the tunnel is going away")
        if len(self._streams) >= self._peer.max_streams:
            raise TunnelRefused("overloaded", "too many streams")
        if self._last_stream >= MAX_NUMBER:
            self.go_away("numbers_used_up")
            raise TunnelRefused("draining", "no stream number is left")

    def _check_alive(self) -> None:
        if self._lost:
            raise TunnelRefused("tunnel_lost", "the tunnel is lost")
        if self.peer_hello is None:
            raise TunnelRefused("draining", "the tunnel is not up yet")
        if self._box.full:
            raise TunnelRefused("overloaded", "the tunnel is stuck")

    def send_principal(self, number: int, payload: bytes, proof: bytes = b"") -> None:
        """
        Tell the acceptor who a number is, before the first C{open} with it.

        @raise TunnelRefused: if the peer knows as many as it wants to.
        @raise ValueError: if the number was used before, or the payload is too large.
        """
        self._check_alive()
        if number > MAX_NUMBER:
            self.go_away("numbers_used_up")
            raise TunnelRefused("draining", "no principal number is left")
        size = self._principals.size + len(payload) + len(proof)
        if len(self._principals) >= self._peer.max_principals or size > self._peer.max_principal_bytes:
            raise TunnelRefused("overloaded", "too many principals")
        frame = pack_principal(number, payload, proof)
        if number <= self._principals.last or len(frame) > frames.MAX_CONTROL:
            raise ValueError("a principal with a used number, or too large")
        self._principals.add(number, payload, proof)
        self._box.control(frames.PRINCIPAL, 0, frame)

    def send_forget(self, number: int) -> None:
        """
        A principal is gone, everywhere: its streams end here and at the peer.

        The handlers of its streams are told C{session_ended}.
        """
        if self._principals.forget(number):
            self._box.control(frames.FORGET, 0, pack_number(number))
            self._end_streams_of(number)

    def send_client_gone(self, client_connection: int) -> None:
        """A client's connection closed; the acceptor closes what was bound to it."""
        if not self._lost:
            self._box.control(frames.CLIENT_GONE, 0, pack_long(client_connection))

    def send_config(self, revision: int, payload: bytes) -> None:
        """
        Send a CONFIG document, among the streams' data. A newer one replaces one that has not begun.

        @raise ValueError: if it is larger than the peer takes.
        """
        if self.peer_hello is not None and len(payload) > self._peer.max_config:
            raise ValueError("the document is larger than the peer takes")
        if not self._lost:
            self._config_out.send(revision, payload)

    def send_applied(self, revision: int) -> None:
        """Answer CONFIG: this revision is in force here."""
        if not self._lost:
            self._box.control(frames.APPLIED, 0, pack_long(revision))

    def send_renew(self, payload: bytes) -> None:
        """
        Ask for a new certificate, or answer with one.

        @raise ValueError: if it is too large for a frame.
        """
        if not self._lost:
            self._box.control(frames.RENEW, 0, payload)

    def send_settings(self, **changes: int) -> None:
        """
        Change what was announced in HELLO.

        @raise ValueError: for a name that may not change, or a value out of bounds.
        """
        for name, value in changes.items():
            if name not in CHANGEABLE or not BOUNDS[name][0] <= value <= BOUNDS[name][1]:
                raise ValueError(f"{name} cannot become {value}")
        self._max_streams = max(self._max_streams, changes.get("max_streams", 0))
        self._box.control(frames.SETTINGS, 0, pack_settings(changes))

    def ping(self, payload: bytes = b"") -> None:
        """
        Ask for a sign of life; the answer comes to C{pong}.

        @raise ValueError: if the payload is longer than 64 bytes.
        """
        if not self._lost:
            self._box.control(frames.PING, 0, payload)

    def go_away(self, reason: str, detail: str = "") -> None:
        """Serve (or open) no new streams; those under way go on. Only the first time counts."""
        if not self._goodbye_sent and not self._lost:
            self._goodbye_sent = True
            self._box.control(frames.GOAWAY, 0, pack_reason(reason, detail, self._last_stream))

    def reset_all(self, reason: str, detail: str = "") -> None:
        """Give up every stream, here and at the peer; the handlers are told too."""
        for stream in list(self._streams.values()):
            handler = stream.handler
            stream.reset(reason, detail)
            self.guarded(stream, handler.reset, reason, detail)

    def connection_lost(self, reason: str) -> None:
        """The connection is gone: every stream is reset with C{tunnel_lost}."""
        self._lost = True
        self._kinds = {}
        self._box.close()
        for stream in list(self._streams.values()):
            self._end_stream(stream, "tunnel_lost", reason)

    # -- receiving

    def receive(self, data: bytes) -> None:
        """
        Take in bytes from the peer, in any split.

        @raise TunnelError: close the connection; nothing can be trusted any more.
        """
        for kind, flags, number, payload in self._decoder.feed(data):
            try:
                if kind == DATA:
                    self._on_data(flags, number, payload)
                else:
                    known = self._kinds.get(kind)
                    if known is None:
                        self._on_unknown(kind)
                    else:
                        known(flags, number, payload)
            except TunnelError:
                raise
            except Exception:
                self._bug(number)
        if self._box.control_frames > CONTROL_FLOOD:
            raise TunnelError("flood", "the peer does not read our answers")

    def _on_unknown(self, kind: int) -> None:
        if self.peer_hello is None:
            raise TunnelError("hello", f"a frame of kind {kind:#x} before HELLO")
        if kind >= frames.CRITICAL_FROM:
            raise TunnelError("unknown_frame", f"a frame of kind {kind:#x}")
        self._waste()

    def _on_hello(self, flags: int, number: int, payload: bytes) -> None:
        hello = unpack_hello(payload)
        if hello.role == self.role:
            raise TunnelError("role", f"both sides are {self.role}s")
        self.peer_hello = hello
        self._peer = hello.settings
        self._kinds = {
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
            frames.HELLO: self._on_misplaced,
        }
        opener: dict[int, Callable[[int, int, bytes], None]] = {
            frames.HEAD: self._on_head,
            frames.UPGRADED: self._on_upgraded,
        }
        acceptor: dict[int, Callable[[int, int, bytes], None]] = {
            frames.OPEN: self._on_open,
            frames.PRINCIPAL: self._on_principal,
            frames.FORGET: self._on_forget,
            frames.CLIENT_GONE: self._on_client_gone,
        }
        mine, other = (opener, acceptor) if self.role == "opener" else (acceptor, opener)
        self._kinds |= mine | dict.fromkeys(other, self._on_misplaced)
        self._listener.hello(hello)

    def _on_misplaced(self, flags: int, number: int, payload: bytes) -> None:
        raise TunnelError("role", "a frame that only the other side may send")

    # -- receiving: streams

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            self._late(number)
            return
        state = AFTER_DATA[stream._receiving]
        if state < 0:
            raise TunnelError("stream_state", f"DATA on stream {number} in state {stream._receiving}")
        stream._receiving = state
        if payload:
            stream._room -= len(payload)
            if stream._room < 0:
                raise TunnelError("flow_control", f"stream {number} has no credit left")
            self._idle = 0
            stream.handler.data(payload)
        elif not flags:
            self._waste()
        if flags & FIN:
            self._end_received(stream)
        elif not stream._paused:
            if flags & BLOCKED:
                self._grow(stream)
            elif stream._room <= stream._window >> 1:
                self.grant(stream)

    def _on_head(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._advance(number, AFTER_HEAD)
        if stream is not None:
            stream.handler.head(payload)
            if flags & FIN:
                self._end_received(stream)

    def _on_trailers(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._advance(number, AFTER_TRAILERS)
        if stream is not None:
            stream.handler.trailers(payload)
            if flags & FIN:
                self._end_received(stream)

    def _on_end(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            self._late(number)
        else:
            self._end_received(stream)

    def _on_upgraded(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._advance(number, AFTER_UPGRADED)
        if stream is None:
            return
        if not stream.upgrade:
            raise TunnelError("stream_state", f"stream {number} asked for no upgrade")
        if stream._sending == AWAIT_UPGRADE:
            stream._sending = RAW
        stream.handler.upgraded()

    def _advance(self, number: int, after: tuple[int, ...]) -> Stream | None:
        """The stream in its next state; L{None} if it is over already."""
        stream = self._streams.get(number)
        if stream is None:
            self._late(number)
            return None
        state = after[stream._receiving]
        if state < 0:
            raise TunnelError("stream_state", f"a frame on stream {number} in state {stream._receiving}")
        stream._receiving = state
        self._idle = 0
        return stream

    def _end_received(self, stream: Stream) -> None:
        if stream._receiving == ENDED:
            if stream.closed:
                return  # the handler reset it a moment ago, in this very frame
            raise TunnelError("stream_state", f"stream {stream.id} ends twice")
        if AFTER_END[stream._receiving] < 0:
            raise TunnelError("stream_state", f"stream {stream.id} ends without a head")
        self._idle = 0
        stream._receiving = ENDED
        if stream._sending == AWAIT_UPGRADE:
            # Answered otherwise: nothing was ever to follow the request.
            stream._sending = ENDED
            stream._fin_sent = True
        if stream._fin_sent:
            self.removed(stream)
        stream.handler.ended()

    def _on_open(self, flags: int, number: int, payload: bytes) -> None:
        message = OpenMessage.unpack(payload)
        if not self._last_stream < number <= MAX_NUMBER:
            raise TunnelError("stream_number", f"stream {number} comes after {self._last_stream}")
        complete = bool(flags & FIN)
        if complete != (message.body == NO_BODY and not message.upgrade):
            raise TunnelError("bad_message", "OPEN says two things of its body")
        self._principals.check(message.principal_number, message.principal_digest)
        if self._goodbye_sent:
            self._waste()  # GOAWAY, which is under way, tells the opener that we ignore it
            return
        self._last_stream = number
        if len(self._streams) >= self._max_streams:
            self._waste()
            self._box.control(frames.RESET, number, pack_reason("overloaded", "too many streams"))
            return
        self._idle = 0
        self.streams_opened += 1
        upgrade = message.upgrade
        stream = Stream(
            self,
            self._box,
            number,
            message.principal_number,
            upgrade,
            DEAF,
            self._peer.initial_window,
            self._settings.initial_window,
            AWAIT_HEAD,
            AWAIT_UPGRADE if upgrade else ENDED if complete else BODY,
        )
        self._streams[number] = stream
        self._listener.opened(stream, message)
        if stream.handler is DEAF and not stream.closed:
            stream.reset("bug", "nobody serves this stream")

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        reason, detail = unpack_reason(payload)
        if stream is None:
            self._late(number)
        else:
            self._end_stream(stream, reason, detail)

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        amount = unpack_number(payload)
        stream = self._streams.get(number)
        if stream is None:
            self._late(number)
            return
        if stream._credit + amount > MAX_NUMBER:
            raise TunnelError("flow_control", f"stream {number} was granted too much")
        self._idle = 0
        stream.credited(amount)

    def _late(self, number: int) -> None:
        """A frame of a stream that is over on this side: not an error, unless it never began."""
        if self.peer_hello is None:
            raise TunnelError("hello", "a frame before HELLO")
        if not 0 < number <= self._last_stream and not self._goodbye_sent:
            raise TunnelError("stream_number", f"stream {number} was never opened")
        self._waste()

    def _waste(self) -> None:
        self._idle += 1
        if self._idle > IDLE_FRAMES:
            raise TunnelError("flood", "too many frames that move nothing")

    # -- receiving: the rest

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        self._waste()
        self._peer = unpack_settings(payload, self._peer)

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        self._waste()
        if flags & frames.ACK:
            self._listener.pong(payload)
        else:
            self._box.control(frames.PING, 0, payload, frames.ACK)

    def _on_go_away(self, flags: int, number: int, payload: bytes) -> None:
        last, reason, detail = unpack_go_away(payload)
        if self.peer_goodbye is not None:
            self._waste()
            return
        self.peer_goodbye = (reason, detail)
        if self.role == "opener":
            for stream in [each for each in self._streams.values() if each.id > last]:
                self._end_stream(stream, "draining", "the peer goes away")
        self._listener.going_away()

    def _on_principal(self, flags: int, number: int, payload: bytes) -> None:
        number, claims, proof = unpack_principal(payload)
        self._principals.add(number, claims, proof)
        settings = self._settings
        if (
            len(self._principals) > settings.max_principals
            or self._principals.size > settings.max_principal_bytes
        ):
            raise TunnelError("principal", "more principals than were announced")
        self._listener.principal(number, claims)

    def _on_forget(self, flags: int, number: int, payload: bytes) -> None:
        number = unpack_number(payload)
        if self._principals.forget(number):
            self._end_streams_of(number)
            self._listener.forgotten(number)
        else:
            self._waste()

    def _on_client_gone(self, flags: int, number: int, payload: bytes) -> None:
        self._listener.client_gone(unpack_long(payload)[0])

    def _on_config(self, flags: int, number: int, payload: bytes) -> None:
        document = self._config_in.receive(payload, bool(flags & frames.MORE))
        if document is not None:
            self._listener.config(*document)

    def _on_applied(self, flags: int, number: int, payload: bytes) -> None:
        self._listener.applied(unpack_long(payload)[0])

    def _on_renew(self, flags: int, number: int, payload: bytes) -> None:
        self._listener.renew(payload)

    # -- credit that we grant

    def grant(self, stream: Stream) -> None:
        """Give a stream's peer the credit that its window still has room for."""
        amount = stream._window - stream._room
        stream._room = stream._window
        self._box.control(frames.WINDOW, stream.id, pack_number(amount))

    def _grow(self, stream: Stream) -> None:
        """The window, not the reader, held the peer back: double it while there is room for that."""
        window = stream._window
        more = min(window, self._settings.max_window - window, self._growth_left >> 1)
        if more >= SMALLEST_GROWTH:
            self._growth_left -= more
            stream._window = window + more
        if stream._room < stream._window:
            self.grant(stream)

    # -- the end of streams

    def removed(self, stream: Stream) -> None:
        """A stream is over in both directions."""
        if self._streams.pop(stream.id, None) is not None:
            grown = stream._window - self._settings.initial_window
            if grown:
                self._growth_left += grown

    def discard(self, stream: Stream) -> None:
        """Drop a stream and what it had queued."""
        self._box.queued -= stream._queued
        stream._queued = 0
        if stream._pending:
            stream._pending.clear()
        stream._receiving = stream._sending = ENDED
        stream._fin_sent = True
        self.removed(stream)

    def _end_stream(self, stream: Stream, reason: str, detail: str) -> None:
        handler = stream.handler
        self.discard(stream)
        stream.handler = DEAF
        self._idle = 0
        self.guarded(stream, handler.reset, reason, detail)

    def _end_streams_of(self, principal_number: int) -> None:
        for stream in self.streams_of(principal_number):
            self._end_stream(stream, "session_ended", "")

    def guarded(self, stream: Stream, call: Callable[..., object], *arguments: Any) -> None:
        """Call a stream's handler where its bug must not hurt other streams."""
        try:
            call(*arguments)
        except Exception:
            self._bug(stream.id)

    def _bug(self, number: int) -> None:
        """One of our callbacks raised: its stream pays for it; without a stream, the tunnel."""
        _log.failure(
            "{event}: a callback of stream {stream} raised", event="bug", fault="ours", stream=number
        )
        stream = self._streams.get(number)
        if stream is not None:
            stream.reset("bug")
        elif not number:
            raise TunnelError("bug", "a callback raised")
