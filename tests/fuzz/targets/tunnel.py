"""A whole session against a hostile peer: L{appproxy.tunnel.session}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from appproxy.tunnel import frames, messages
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.frames import ACK, BLOCKED, FIN, encode
from appproxy.tunnel.messages import UNTIL_END, Role
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.times import pack_times
from tests.fuzz.support import hold, no_bugs_logged, same, splits
from tests.tunnel.support import Pair, Recorder, RecordingListener, request, stream_of

MAX_STREAMS: Final = 4
SETTINGS: Final = TunnelSettings(
    max_streams=MAX_STREAMS, max_principals=3, max_principal_bytes=2000, max_config=3000
)
_OUTPUT: Final = 1 << 20
_HELLO_OF: Final[dict[str, bytes]] = {
    "opener": encode(frames.HELLO, 0, messages.pack_hello("opener", TunnelSettings())),
    "acceptor": encode(frames.HELLO, 0, messages.pack_hello("acceptor", TunnelSettings())),
}


def seeds() -> Iterable[bytes]:
    """What honest peers say after HELLO; a first byte says who is fed."""
    opener, acceptor = conversation()
    yield b"a" + opener
    yield b"o" + acceptor
    yield (
        b"a" + encode(frames.OPEN, 1, request(body=UNTIL_END).pack()) + encode(frames.DATA, 1, b"x", BLOCKED)
    )
    yield b"a" + encode(frames.OPEN, 1, request(upgrade=True).pack()) + encode(frames.DATA, 1, b"x", FIN)
    yield b"a" + b"".join(encode(frames.OPEN, number, request().pack(), FIN) for number in range(1, 7))
    yield b"a" + encode(frames.CONFIG, 0, messages.pack_long(9) + b"{", 1) + encode(frames.CONFIG, 0, b"}")
    yield (
        b"a"
        + encode(frames.PRINCIPAL, 0, messages.pack_principal(1, b"c"))
        + encode(frames.OPEN, 1, request(number=1, claims=b"c").pack(), FIN)
        + encode(frames.FORGET, 0, messages.pack_number(1))
    )
    for end in (b"a", b"o"):
        yield end + b"".join(
            [
                encode(frames.PING, 0, b"p"),
                encode(frames.PING, 0, b"p", ACK),
                encode(frames.SETTINGS, 0, messages.pack_settings({"max_streams": 1})),
                encode(frames.WINDOW, 1, messages.pack_number(100)),
                encode(frames.RESET, 1, messages.pack_reason("cancelled", "d")),
                encode(0x40, 0, b"new"),
                encode(frames.GOAWAY, 0, messages.pack_reason("draining", "", 1)),
            ]
        )
    yield (b"o" + encode(frames.TIMES, 1, pack_times(0.1, 0.05, -1.0)) + encode(frames.HEAD, 1, b"200 -2"))
    yield b"o" + encode(frames.HEAD, 1, b"101 -2") + encode(frames.UPGRADED, 1)
    yield b"o" + encode(frames.UPGRADED, 2) + encode(frames.DATA, 2, b"raw") + encode(frames.END, 2)


def conversation() -> tuple[bytes, bytes]:
    """Both halves of one exchange, without their HELLOs."""
    pair = Pair()
    _, client = pair.open(request(body=UNTIL_END))
    stream_of(client).write(b"up")
    stream_of(client).trailers(b"t: 1")
    stream_of(client).end()
    up = pair.opener.take()
    pair.acceptor.session.receive(up)
    server = stream_of(pair.acceptor.listener.served[0])
    server.head(b"200 -1")
    server.write(b"down")
    server.end()
    return up, pair.acceptor.take()


def target(data: bytes) -> None:
    """The first byte says who is fed; then what the peer says after a good HELLO."""
    role: Role = "opener" if data[:1] == b"o" else "acceptor"
    said = data[1:]
    with no_bugs_logged():
        whole = outcome(role, [said])
        for pieces in splits(said):
            again = outcome(role, pieces)
            same(again[0], whole[0], "another split, another verdict")
            if whole[0] is None:
                same(again[1:], whole[1:], "another split, other calls")


def outcome(role: Role, pieces: list[bytes]) -> tuple[str | None, list[Any], list[Any]]:
    """The code of the error, what the listener was told, and what each stream was told."""
    listener = RecordingListener()
    session = TunnelSession(role, SETTINGS, listener, lambda: None)
    session.receive(_HELLO_OF["acceptor" if role == "opener" else "opener"])
    recorders = [opened(session, upgrade) for upgrade in (False, True)] if role == "opener" else []
    code = None
    try:
        for piece in pieces:
            session.receive(piece)
            hold(session.active_streams <= MAX_STREAMS, "more streams than were allowed")
    except TunnelError as error:
        code = error.code
        hold(error.code != "bug", "a bug of ours", error)
    output = b"".join(session.take_output(_OUTPUT))
    session.connection_lost("over")
    same(session.active_streams, 0, "a stream outlives its tunnel")
    same(session.pending_output, False, "output after the end")
    handlers = recorders or listener.served
    for each in handlers:
        ends = [call[0] for call in each.calls if call[0] in ("ended", "reset")]
        hold(ends.count("reset") <= 1 and ends.count("ended") <= 1, "it ends twice", each.calls)
    for each in recorders[:1]:
        hold(("upgraded",) not in each.calls, "an upgrade that was not asked for", each.calls)
    # Credit that is granted depends on the pieces, and so does how output is cut.
    hold(bool(output), "no HELLO")
    return code, listener.calls, [(each.calls, bytes(each.body)) for each in handlers]


def opened(session: TunnelSession, upgrade: bool) -> Recorder:
    """A stream for the peer to answer."""
    recorder = Recorder()
    recorder.stream = session.open(request(upgrade=upgrade), recorder)
    return recorder
