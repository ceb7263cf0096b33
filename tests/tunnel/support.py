"""
What the tunnel's tests share: recorders, and two sessions joined in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appproxy.tunnel.frames import Decoder
from appproxy.tunnel.messages import NO_BODY, OpenMessage, PeerHello
from appproxy.tunnel.principals import digest_of
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream

TURN = 256 << 10
TRANSACTION = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def request(
    head: bytes = b"GET /",
    body: int = NO_BODY,
    *,
    number: int = 0,
    claims: bytes = b"",
    upgrade: bool = False,
    application: str = "wiki",
) -> OpenMessage:
    """An OPEN message of which only what matters to the test is said."""
    digest = digest_of(claims) if number else bytes(8)
    return OpenMessage(85_000, TRANSACTION, application, 7, number, digest, body, upgrade, head)


class Recorder:
    """A stream handler that writes down what it is told."""

    def __init__(self, stream: Stream | None = None) -> None:
        self.stream = stream
        self.calls: list[tuple[Any, ...]] = []
        self.body = bytearray()
        self.can_write = True
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.on_writable: Callable[[], None] = lambda: None

    def head(self, payload: bytes) -> None:
        """Note a head."""
        self.calls.append(("head", payload))

    def data(self, data: bytes) -> None:
        """Collect bytes; one note for all in a row."""
        self.body += data
        if not self.calls or self.calls[-1] != ("data",):
            self.calls.append(("data",))
        self.on_data(data)

    def trailers(self, payload: bytes) -> None:
        """Note trailers."""
        self.calls.append(("trailers", payload))

    def ended(self) -> None:
        """Note the end."""
        self.calls.append(("ended",))

    def upgraded(self) -> None:
        """Note the upgrade."""
        self.calls.append(("upgraded",))

    def times(self, payload: bytes) -> None:
        """Note how long it took."""
        self.calls.append(("times", payload))

    def reset(self, reason: str, detail: str) -> None:
        """Note the reset."""
        self.calls.append(("reset", reason))

    def writable(self, writable: bool) -> None:
        """Note whether writing is wanted."""
        self.can_write = writable
        if writable:
            self.on_writable()


class RecordingListener:
    """A tunnel listener that writes down what it is told and serves streams with L{Recorder}s."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.served: list[Recorder] = []
        self.messages: list[OpenMessage] = []
        self.on_opened: Callable[[Recorder, OpenMessage], None] = lambda recorder, message: None

    def hello(self, peer_hello: PeerHello) -> None:
        """Note HELLO."""
        self.calls.append(("hello", peer_hello.role))

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """Serve it with a recorder."""
        recorder = Recorder(stream)
        stream.handler = recorder
        self.served.append(recorder)
        self.messages.append(message)
        self.on_opened(recorder, message)

    def principal(self, number: int, payload: bytes) -> None:
        """Note PRINCIPAL."""
        self.calls.append(("principal", number, payload))

    def forgotten(self, number: int) -> None:
        """Note FORGET."""
        self.calls.append(("forgotten", number))

    def client_gone(self, client_connection: int) -> None:
        """Note CLIENT_GONE."""
        self.calls.append(("client_gone", client_connection))

    def config(self, revision: int, payload: bytes) -> None:
        """Note CONFIG."""
        self.calls.append(("config", revision, payload))

    def applied(self, revision: int) -> None:
        """Note APPLIED."""
        self.calls.append(("applied", revision))

    def renew(self, payload: bytes) -> None:
        """Note RENEW."""
        self.calls.append(("renew", payload))

    def going_away(self) -> None:
        """Note GOAWAY."""
        self.calls.append(("going_away",))

    def pong(self, payload: bytes) -> None:
        """Note the answer to a ping."""
        self.calls.append(("pong", payload))


class End:
    """One end of a pair: a session, its listener, and how often it said that it has output."""

    def __init__(self, session: TunnelSession, listener: RecordingListener) -> None:
        self.session = session
        self.listener = listener

    def take(self, limit: int = TURN) -> bytes:
        """The bytes of one turn."""
        return b"".join(self.session.take_output(limit))


class Pair:
    """Two sessions joined in memory; L{pump} carries bytes until both are quiet."""

    def __init__(
        self,
        opener: TunnelSettings | None = None,
        acceptor: TunnelSettings | None = None,
        greeted: bool = True,
    ) -> None:
        self.woken = {"opener": 0, "acceptor": 0}
        self.opener = self._end("opener", opener or TunnelSettings())
        self.acceptor = self._end("acceptor", acceptor or TunnelSettings())
        if greeted:
            self.pump()

    def _end(self, role: Any, settings: TunnelSettings) -> End:
        listener = RecordingListener()

        def wake() -> None:
            self.woken[role] += 1

        return End(TunnelSession(role, settings, listener, wake), listener)

    def pump(self, limit: int = TURN, turns: int = 100_000) -> None:
        """Carry bytes both ways, a turn's write at a time."""
        for _ in range(turns):
            to_acceptor = self.opener.take(limit)
            to_opener = self.acceptor.take(limit)
            if not to_acceptor and not to_opener:
                return
            self.acceptor.session.receive(to_acceptor)
            self.opener.session.receive(to_opener)

    def open(self, message: OpenMessage | None = None) -> tuple[Stream, Recorder]:
        """Open a stream, without carrying anything."""
        handler = Recorder()
        handler.stream = self.opener.session.open(message or request(), handler)
        return handler.stream, handler

    def exchange_now(self, message: OpenMessage | None = None) -> tuple[Recorder, Recorder]:
        """Open a stream and carry only its OPEN over, whatever else waits."""
        _, handler = self.open(message)
        self.acceptor.session.receive(self.opener.take())
        return handler, self.acceptor.listener.served[-1]

    def exchange(self, message: OpenMessage | None = None) -> tuple[Recorder, Recorder]:
        """Open a stream and carry it over: the opener's recorder and the acceptor's."""
        _, handler = self.open(message)
        self.pump()
        return handler, self.acceptor.listener.served[-1]


Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream number, payload."""


def read(decoder: Decoder, data: bytes) -> list[Frame]:
    """The frames, and parts of large DATA frames, that these bytes complete."""
    decoder.feed(data)
    got = []
    while decoder.next():
        got.append((decoder.kind, decoder.flags, decoder.number, decoder.payload))
    return got


def frames_of(data: bytes) -> list[Frame]:
    """All frames in these bytes."""
    return read(Decoder(), data)


def stream_of(recorder: Recorder) -> Stream:
    """The recorder's stream, which is there."""
    assert recorder.stream is not None
    return recorder.stream
