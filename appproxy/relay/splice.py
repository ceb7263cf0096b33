"""
One stream of an edge's tunnel and one of a connector's, joined.

Everything passes as it is: heads, data, ends of either direction, resets, and
the wish to pause; times with the connector's name. No byte is kept here; what waits, waits in the tunnels.
"""

from __future__ import annotations

from collections.abc import Callable

from appproxy.tunnel.stream import Stream
from appproxy.tunnel.times import name_times

Failed = Callable[[str, str], None]
"""Told with reason and detail that the connector gave a request up before it answered."""


class RequestSide:
    """
    Handles the edge's stream: what comes from the edge goes to the connector.

    A L{appproxy.tunnel.handler.StreamHandler}.
    """

    __slots__ = ("_far",)

    def __init__(self, far: Stream) -> None:
        self._far = far

    def head(self, payload: bytes) -> None:
        """An edge sends no heads; the session sees to that."""

    def data(self, data: bytes) -> None:
        """Some of the request's body, or of an upgraded connection."""
        self._far.write(data)

    def trailers(self, payload: bytes) -> None:
        """The request's trailers."""
        self._far.trailers(payload)

    def ended(self) -> None:
        """The request is complete; the answer goes on."""
        self._far.end()

    def upgraded(self) -> None:
        """Only connectors say so."""

    def times(self, payload: bytes) -> None:
        """Only connectors say so."""

    def reset(self, reason: str, detail: str) -> None:
        """The edge gave up, or is gone."""
        self._far.reset("cancelled" if reason == "tunnel_lost" else reason, detail)

    def writable(self, writable: bool) -> None:
        """The edge takes no more of the answer for now, or takes it again."""
        if writable:
            self._far.resume()
        else:
            self._far.pause()


class AnswerSide:
    """
    Handles the connector's stream: what comes from the connector goes to the edge.

    A L{appproxy.tunnel.handler.StreamHandler}.
    """

    __slots__ = ("_answered", "_connector", "_failed", "_named", "_near")

    def __init__(self, near: Stream, connector: str, failed: Failed) -> None:
        """
        @param connector: whose stream it is, which the edge is told.
        """
        self._near = near
        self._connector = connector
        self._named = False
        self._failed = failed
        self._answered = False

    def head(self, payload: bytes) -> None:
        """The answer's head, or an interim one."""
        self._answered = True
        self._near.head(payload)

    def data(self, data: bytes) -> None:
        """Some of the answer's body, or of an upgraded connection."""
        self._near.write(data)

    def trailers(self, payload: bytes) -> None:
        """The answer's trailers."""
        self._near.trailers(payload)

    def ended(self) -> None:
        """The answer is complete; the request may go on."""
        self._near.end()

    def upgraded(self) -> None:
        """Both directions are plain bytes now."""
        self._near.upgraded()

    def times(self, payload: bytes) -> None:
        """How long the answer took, and where."""
        self._named = True
        self._near.times(name_times(payload, self._connector))

    def reset(self, reason: str, detail: str) -> None:
        """The connector gave up, or is gone."""
        if not self._answered:
            self._failed(reason, detail)
            if not self._named:
                self.times(b"")
        self._near.reset(reason, detail)

    def writable(self, writable: bool) -> None:
        """The connector takes no more of the request for now, or takes it again."""
        if writable:
            self._near.resume()
        else:
            self._near.pause()


class Parked:
    """
    Keeps what an edge sends on a stream that cannot be forwarded yet: at most the
    credit that every stream starts with, since no more is granted.

    A L{appproxy.tunnel.handler.StreamHandler}.
    """

    def __init__(self, near: Stream, given_up: Callable[[], None]) -> None:
        self._near = near
        self._given_up = given_up
        self._data: list[bytes] = []
        self._trailers: bytes | None = None
        self._ended = False
        near.handler = self
        near.pause()

    def go_on(self) -> None:
        """The stream has another handler now, unless it was refused: tell that what came meanwhile."""
        near = self._near
        near.resume()
        for data in self._data:
            near.handler.data(data)
        if self._trailers is not None:
            near.handler.trailers(self._trailers)
        if self._ended:
            near.handler.ended()

    def head(self, payload: bytes) -> None:
        """An edge sends no heads."""

    def data(self, data: bytes) -> None:
        """Keep it."""
        self._data.append(data)

    def trailers(self, payload: bytes) -> None:
        """Keep them."""
        self._trailers = payload

    def ended(self) -> None:
        """Note it."""
        self._ended = True

    def upgraded(self) -> None:
        """Only connectors say so."""

    def times(self, payload: bytes) -> None:
        """Only connectors say so."""

    def reset(self, reason: str, detail: str) -> None:
        """The edge gave up, or is gone."""
        self._given_up()

    def writable(self, writable: bool) -> None:
        """Nothing is written yet."""
