"""
A conversation that earlier versions had, kept byte by byte, so that later ones can be held against it.

C{python -m tests.tunnel.recorded NAME} records this version's. A recording is never made anew: peers that
speak like it are out there.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from appproxy.tunnel.messages import UNTIL_END
from appproxy.tunnel.settings import TunnelSettings
from tests.tunnel.support import TURN, End, Pair, Recorder, request, stream_of

FOLDER: Final = Path(__file__).with_name("recordings")
CLAIMS: Final = b'{"subject":"1","user_principal_name":"ada@example.com"}'
KIB: Final = 1 << 10


class Side:
    """
    One side of the conversation.

    @ivar handlers: of the streams, in the order in which they were opened.
    """

    def __init__(self, role: str, end: End) -> None:
        self.role = role
        self.end = end
        self.session = end.session
        self.handlers: list[Recorder] = [] if role == "opener" else end.listener.served

    def open(self, message: Any) -> None:
        """Open the next stream."""
        handler = Recorder()
        handler.stream = self.session.open(message, handler)
        self.handlers.append(handler)

    def stream(self, number: int) -> Any:
        """The stream that was opened as this one."""
        return stream_of(self.handlers[number])

    def seen(self) -> list[Any]:
        """All that it was told, as JSON keeps it."""
        bodies = [each.body.decode("latin-1") for each in self.handlers]
        return [_plain(self.end.listener.calls), [_plain(each.calls) for each in self.handlers], bodies]


Step = tuple[str, Callable[[Side], object]]
"""Who does something, and what."""


def _answer(number: int, *parts: bytes) -> Callable[[Side], None]:
    def act(side: Side) -> None:
        stream = side.stream(number)
        stream.head(b"200")
        for part in parts:
            stream.write(part)
        stream.end()

    return act


def _upload(side: Side) -> None:
    stream = side.stream(1)
    stream.write(b"u" * (40 * KIB))
    stream.trailers(b"checksum: 1")
    stream.end()


def _upgrade(side: Side) -> None:
    stream = side.stream(3)
    stream.head(b"101")
    stream.upgraded()
    stream.write(b"from inside")


STEPS: Final[Sequence[Step]] = (
    ("opener", lambda side: side.session.send_config(7, b'{"applications":[]}')),
    ("acceptor", lambda side: side.session.send_applied(7)),
    ("opener", lambda side: side.session.send_principal(1, CLAIMS)),
    ("opener", lambda side: side.open(request(b"GET /\nhost: a", number=1, claims=CLAIMS))),
    ("acceptor", _answer(0, b"hello")),
    ("opener", lambda side: side.open(request(b"POST /up", body=UNTIL_END))),
    ("opener", _upload),
    ("acceptor", _answer(1)),
    # More than a window, and more than a turn.
    ("opener", lambda side: side.open(request(b"GET /large"))),
    ("acceptor", _answer(2, *[b"d" * (64 * KIB)] * 10)),
    ("opener", lambda side: side.open(request(b"GET /socket", upgrade=True))),
    ("acceptor", _upgrade),
    ("opener", lambda side: side.stream(3).write(b"from outside")),
    ("opener", lambda side: side.stream(3).end()),
    ("acceptor", lambda side: side.stream(3).end()),
    ("opener", lambda side: side.open(request(b"GET /given-up"))),
    ("opener", lambda side: side.stream(4).reset("cancelled", "the client left")),
    ("opener", lambda side: side.open(request(b"GET /refused"))),
    ("acceptor", lambda side: side.stream(5).reset("backend_refused", "nobody listens")),
    ("opener", lambda side: side.session.ping(b"12345678")),
    ("acceptor", lambda side: side.session.ping(b"87654321")),
    ("acceptor", lambda side: side.session.send_renew(b"a request for a certificate")),
    ("opener", lambda side: side.session.send_renew(b"a certificate")),
    ("opener", lambda side: side.session.send_forget(1)),
    ("acceptor", lambda side: side.session.go_away("restarting")),
)


def record() -> dict[str, Any]:
    """Have the conversation between two sessions of this version."""
    pair = Pair(greeted=False)
    sides = {"opener": Side("opener", pair.opener), "acceptor": Side("acceptor", pair.acceptor)}
    turns: list[list[list[str]]] = [list(_carry(pair))]
    for who, act in STEPS:
        act(sides[who])
        turns.append(list(_carry(pair)))
    seen = {role: side.seen() for role, side in sides.items()}
    return {"software": TunnelSettings().software, "turns": turns, "seen": seen}


def recordings() -> dict[str, Any]:
    """All that are kept, by name."""
    return {
        file.name.partition(".")[0]: json.loads(gzip.decompress(file.read_bytes()))
        for file in sorted(FOLDER.glob("*.json.gz"))
    }


def _carry(pair: Pair) -> Iterator[list[str]]:
    """What goes over until both are quiet: who, and the bytes."""
    while True:
        moved = False
        for role, one, other in (
            ("opener", pair.opener, pair.acceptor),
            ("acceptor", pair.acceptor, pair.opener),
        ):
            data = one.take(TURN)
            if data:
                moved = True
                other.session.receive(data)
                yield [role, data.hex()]
        if not moved:
            return


def replay(recording: dict[str, Any], role: str) -> Side:
    """
    Have the same conversation with the recorded bytes in the other's place.

    @param role: the side that this version takes.
    """
    pair = Pair(greeted=False)
    side = Side(role, pair.opener if role == "opener" else pair.acceptor)
    for number, turns in enumerate(recording["turns"]):
        if number:
            who, act = STEPS[number - 1]
            if who == role:
                act(side)
        for who, data in turns:
            side.end.take(TURN)
            if who != role:
                side.session.receive(bytes.fromhex(data))
    return side


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    with (FOLDER / f"{sys.argv[1]}.json.gz").open("xb") as file:
        file.write(gzip.compress(json.dumps(record()).encode("ascii"), mtime=0))
