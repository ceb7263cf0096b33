"""
Two ends of a tunnel joined in memory, through which requests are answered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from appproxy.tunnel.messages import NO_BODY, NO_DIGEST, OpenMessage, PeerHello
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream

_TURN: Final = 256 << 10
_TRANSACTION: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
_DEADLINE_MS: Final = 85_000


class _Waiting:
    """Waits for an answer, at either end."""

    def head(self, payload: bytes) -> None: ...

    def data(self, data: bytes) -> None: ...

    def trailers(self, payload: bytes) -> None: ...

    def ended(self) -> None: ...

    def upgraded(self) -> None: ...

    def times(self, payload: bytes) -> None: ...

    def reset(self, reason: str, detail: str) -> None: ...

    def writable(self, writable: bool) -> None: ...


class _Listener:
    """Answers every stream with the same head and body."""

    def __init__(self, answer: bytes, body: bytes) -> None:
        self._answer = answer
        self._body = body

    def hello(self, peer_hello: PeerHello) -> None: ...

    def opened(self, stream: Stream, message: OpenMessage) -> None:
        """Answer."""
        stream.handler = _WAITING
        stream.head(self._answer)
        stream.write(self._body)
        stream.end()

    def principal(self, number: int, payload: bytes) -> None: ...

    def forgotten(self, number: int) -> None: ...

    def client_gone(self, client_connection: int) -> None: ...

    def config(self, revision: int, payload: bytes) -> None: ...

    def applied(self, revision: int) -> None: ...

    def renew(self, payload: bytes) -> None: ...

    def going_away(self) -> None: ...

    def pong(self, payload: bytes) -> None: ...


_WAITING: Final = _Waiting()


class TunnelPair:
    """
    A tunnel without sockets and without TLS.
    """

    def __init__(self, answer: bytes, body: bytes) -> None:
        """
        @param answer: the packed head of every answer, followed by this body.
        """
        listener = _Listener(answer, body)
        self._opener = TunnelSession("opener", TunnelSettings(), listener, _nothing)
        self._acceptor = TunnelSession("acceptor", TunnelSettings(), listener, _nothing)
        while self._carry():
            pass

    def exchange(self, heads: Sequence[bytes]) -> None:
        """Some requests of one turn with their answers: packed, carried, read, both ways."""
        for head in heads:
            message = OpenMessage(
                _DEADLINE_MS, _TRANSACTION, "app0", 7, 0, NO_DIGEST, NO_BODY, False, head, 1
            )
            self._opener.open(message, _WAITING)
        self._carry()

    def _carry(self) -> int:
        there = b"".join(self._opener.take_output(_TURN))
        self._acceptor.receive(there)
        back = b"".join(self._acceptor.take_output(_TURN))
        self._opener.receive(back)
        return len(there) + len(back)


def _nothing() -> None:
    """Nobody has to be woken: whoever writes carries."""
