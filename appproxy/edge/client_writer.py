"""
Where front end and exchange meet: what each asks of the other.
"""

from __future__ import annotations

from typing import Protocol

from appproxy.httpwire.block import Blocks
from appproxy.httpwire.field import Fields
from appproxy.model.refusal import Refusal


class ClientWriter(Protocol):
    """
    One answer's way to the client. Framing is the writer's business: the
    exchange hands it plain body bytes.
    """

    def interim(self, status: int, headers: Blocks) -> None:
        """Write an answer before the answer (1xx), if the client's version has them."""

    def head(self, status: int, body: int, headers: Blocks) -> None:
        """Write the answer's head; C{body} as in L{appproxy.httpwire.heads}."""

    def data(self, data: bytes) -> None:
        """Write some of the answer's body."""

    def end(self, trailers: Fields) -> None:
        """The answer is complete."""

    def switch(self, headers: Blocks) -> None:
        """Write a 101; from now on both directions are plain bytes."""

    def close(self) -> None:
        """End an upgraded connection in good order."""

    def break_off(self) -> None:
        """End before the answer does, so that the client notices that it is incomplete."""

    def abort(self) -> None:
        """Cut the connection: not a byte more reaches the client."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a page that says why not; nothing of an answer was written yet."""

    def pause_request(self) -> None:
        """Read no more of the request's body for now."""

    def resume_request(self) -> None:
        """Go on reading the request's body."""


class RequestSink(Protocol):
    """Whoever answers the current request and takes its body."""

    def client_data(self, data: bytes) -> None:
        """Some of the request's body, or of an upgraded connection."""

    def client_end(self, trailers: Fields) -> None:
        """The request is complete."""

    def client_gone(self) -> None:
        """Nobody waits for the answer any more. The second time it does nothing."""

    def pause(self) -> None:
        """The client reads slower than the answer comes."""

    def resume(self) -> None:
        """The client has read what there was."""


class PageSink(RequestSink, Protocol):
    """A request in the tree of pages."""

    def start(self) -> None:
        """Begin; the answer may be complete when this returns."""
