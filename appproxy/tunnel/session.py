"""
One end of a tunnel as a pure machine: bytes in, calls out, bytes out.

It knows streams, credit, principals and fairness; no time and no sockets. The
rules are those of C{docs/tunnel.md}; the receiving half is in
L{appproxy.tunnel.inbound}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from appproxy.tunnel import frames
from appproxy.tunnel.config_transfer import ConfigSender
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.frames import MAX_NUMBER
from appproxy.tunnel.handler import StreamHandler
from appproxy.tunnel.inbound import Inbound
from appproxy.tunnel.listener import TunnelListener
from appproxy.tunnel.messages import (
    NO_BODY,
    Beginning,
    OpenMessage,
    PeerHello,
    Role,
    pack_hello,
    pack_long,
    pack_number,
    pack_principal,
    pack_reason,
    pack_settings,
)
from appproxy.tunnel.outbox import Outbox
from appproxy.tunnel.settings import BOUNDS, CHANGEABLE, PeerSettings, TunnelSettings
from appproxy.tunnel.state import SessionState
from appproxy.tunnel.stream import AWAIT_HEAD, AWAIT_UPGRADE, BODY, ENDED, Stream

__all__ = ["TunnelListener", "TunnelSession"]


class TunnelSession:
    """One end of a tunnel."""

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
        self._box = Outbox(wake)
        self._state = SessionState(role, settings, listener, self._box)
        self._inbound = Inbound(self._state)
        self._config = ConfigSender(self._box)
        # Of the last OPEN for nobody.
        self._beginning: Beginning | None = None
        self._box.control(frames.HELLO, 0, pack_hello(role, settings))

    # -- looking

    @property
    def role(self) -> Role:
        """C{opener} opens streams, C{acceptor} serves them. Who dialled does not matter."""
        return self._state.role

    @property
    def peer_hello(self) -> PeerHello | None:
        """The peer's HELLO, or L{None} until it came."""
        return self._state.peer_hello

    @property
    def peer_goodbye(self) -> tuple[str, str] | None:
        """Reason and detail of the peer's GOAWAY, or L{None}."""
        return self._state.peer_goodbye

    @property
    def streams_opened(self) -> int:
        """All streams ever."""
        return self._state.streams_opened

    @property
    def active_streams(self) -> int:
        """Streams that are not over in both directions."""
        return len(self._state.streams)

    @property
    def peer_settings(self) -> PeerSettings:
        """What the peer announced last."""
        return self._state.peer

    @property
    def usable(self) -> bool:
        """Whether C{open} is worth trying."""
        state = self._state
        return state.up and len(state.streams) < state.peer.max_streams and not self._box.full

    @property
    def pending_output(self) -> bool:
        """Whether L{take_output} would return something."""
        return self._box.pending

    @property
    def prompt_output(self) -> int:
        """Bytes that L{take_output} returns before all others."""
        return self._box.prompt_size

    @property
    def queued(self) -> int:
        """Bytes of DATA that wait in this session."""
        return self._box.queued

    def claims_of(self, number: int) -> bytes | None:
        """The claims of a principal that is known and not forgotten."""
        known = self._state.principals.get(number)
        return None if known is None else known.claims

    def proof_of(self, number: int) -> bytes | None:
        """The proof that came with a principal; empty if none did."""
        known = self._state.principals.get(number)
        return None if known is None else known.proof

    def streams_of(self, principal_number: int) -> list[Stream]:
        """The open streams of one principal."""
        return [each for each in self._state.streams.values() if each.principal_number == principal_number]

    # -- receiving

    def receive(self, data: bytes) -> None:
        """
        Take in bytes from the peer, in any split.

        @raise TunnelError: close the connection; nothing can be trusted any more.
        """
        self._inbound.receive(data)

    # -- sending

    def take_output(self, max_bytes: int) -> list[bytes | memoryview]:
        """
        What to send next, in order: about C{max_bytes}, at most one frame more.
        """
        return self._box.take(max_bytes)

    @property
    def taken_output(self) -> int:
        """How many bytes L{take_output} returned last."""
        return self._box.taken

    def open(self, message: OpenMessage, handler: StreamHandler) -> Stream:
        """
        Begin a stream. With L{NO_BODY} and no upgrade its request is complete at once.

        @raise TunnelRefused: if this tunnel serves no more streams now.
        @raise ValueError: if the message is out of bounds, or names a principal
            that was not told, or was forgotten.
        """
        state = self._state
        if state.role != "opener":
            raise RuntimeError("only the opener opens streams")
        if not self.usable or state.last_stream >= MAX_NUMBER:
            self._refuse_open()
        payload = message.pack(self._beginning_of(message))
        if len(payload) > frames.MAX_HEAD:
            raise ValueError("the request's head is too large")
        upgrade = message.upgrade
        sending = AWAIT_UPGRADE if upgrade else ENDED if message.body == NO_BODY else BODY
        number = message.principal_number
        stream = state.add_stream(state.last_stream + 1, number, upgrade, handler, sending, AWAIT_HEAD)
        stream.announce(payload)
        return stream

    def _beginning_of(self, message: OpenMessage) -> Beginning:
        """What the message begins with; mostly that of its user's last one."""
        number = message.principal_number
        if not number:
            if self._beginning is None or not self._beginning.fits(message):
                self._beginning = Beginning(message)
            return self._beginning
        known = self._state.principals.get(number)
        if known is None or known.digest != message.principal_digest:
            raise ValueError("the principal is not known on this tunnel")
        if known.beginning is None or not known.beginning.fits(message):
            known.beginning = Beginning(message)
        return known.beginning

    def _refuse_open(self) -> NoReturn:
        self._check_alive()
        if not self._state.up:
            raise TunnelRefused("draining", "the tunnel is going away")
        if self._state.last_stream >= MAX_NUMBER:
            self.go_away("numbers_used_up")
            raise TunnelRefused("draining", "no stream number is left")
        raise TunnelRefused("overloaded", "too many streams")

    def _check_alive(self) -> None:
        if self._state.lost:
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
        principals, peer = self._state.principals, self._state.peer
        size = principals.size + len(payload) + len(proof)
        if len(principals) >= peer.max_principals or size > peer.max_principal_bytes:
            raise TunnelRefused("overloaded", "too many principals")
        frame = pack_principal(number, payload, proof)
        if number <= principals.last or len(frame) > frames.MAX_CONTROL:
            raise ValueError("a principal with a used number, or too large")
        principals.add(number, payload, proof)
        self._box.control(frames.PRINCIPAL, 0, frame)

    def send_forget(self, number: int) -> None:
        """
        A principal is gone, everywhere: its streams end here and at the peer.

        The handlers of its streams are told C{session_ended}.
        """
        if self._state.principals.forget(number):
            self._box.control(frames.FORGET, 0, pack_number(number))
            self._state.end_streams_of(number)

    def send_client_gone(self, client_connection: int) -> None:
        """A client's connection closed; the acceptor closes what was bound to it."""
        self._box.control(frames.CLIENT_GONE, 0, pack_long(client_connection))

    def send_config(self, revision: int, payload: bytes) -> None:
        """
        Send a CONFIG document, among the streams' data. A newer one replaces one that has not begun.

        @raise ValueError: if it is larger than the peer takes.
        """
        if self.peer_hello is not None and len(payload) > self._state.peer.max_config:
            raise ValueError("the document is larger than the peer takes")
        self._config.send(revision, payload)

    def send_applied(self, revision: int) -> None:
        """Answer CONFIG: this revision is in force here."""
        self._box.control(frames.APPLIED, 0, pack_long(revision))

    def send_renew(self, payload: bytes) -> None:
        """
        Ask for a new certificate, or answer with one.

        @raise ValueError: if it is too large for a frame.
        """
        self._box.control(frames.RENEW, 0, payload)

    def send_settings(self, **changes: int) -> None:
        """
        Change what was announced in HELLO.

        @raise ValueError: for a name that may not change, or a value out of bounds.
        """
        for name, value in changes.items():
            if name not in CHANGEABLE or not BOUNDS[name][0] <= value <= BOUNDS[name][1]:
                raise ValueError(f"{name} cannot become {value}")
        self._state.max_streams = max(self._state.max_streams, changes.get("max_streams", 0))
        self._box.control(frames.SETTINGS, 0, pack_settings(changes))

    def ping(self, payload: bytes = b"") -> None:
        """
        Ask for a sign of life; the answer comes to C{pong}.

        @raise ValueError: if the payload is longer than 64 bytes.
        """
        self._box.control(frames.PING, 0, payload)

    def go_away(self, reason: str, detail: str = "") -> None:
        """Serve (or open) no new streams; those under way go on. Only the first time counts."""
        state = self._state
        if not state.goodbye_sent:
            state.goodbye_sent = True
            state.up = False
            self._box.control(frames.GOAWAY, 0, pack_reason(reason, detail, self._state.last_stream))

    def reset_all(self, reason: str, detail: str = "") -> None:
        """Give up every stream, here and at the peer; the handlers are told too."""
        for stream in list(self._state.streams.values()):
            handler = stream.handler
            stream.reset(reason, detail)
            self._state.guarded(stream, handler.reset, reason, detail)

    def connection_lost(self, reason: str) -> None:
        """The connection is gone: every stream is reset with C{tunnel_lost}."""
        self._state.lost = True
        self._state.up = False
        self._inbound.close()
        self._box.close()
        for stream in list(self._state.streams.values()):
            self._state.end_stream(stream, "tunnel_lost", reason)
