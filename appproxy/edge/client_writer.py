"""
What an exchange asks of the client's side, whichever front end that is.
"""

from __future__ import annotations

from typing import Protocol

from appproxy.httpwire.heads import Headers
from appproxy.model.refusal import Refusal


class ClientWriter(Protocol):
    """
    One answer's way to the client. Framing is the writer's business: the
    exchange hands it plain body bytes.
    """

    def interim(self, status: int, headers: Headers) -> None:
        """Write an answer before the answer (1xx), if the client's version has them."""

    def head(self, status: int, body: int, headers: Headers) -> None:
        """Write the answer's head; C{body} as in L{appproxy.httpwire.heads}."""

    def data(self, data: bytes) -> None:
        """Write some of the answer's body."""

    def end(self, trailers: Headers) -> None:
        """The answer is complete."""

    def switch(self, headers: Headers) -> None:
        """Write a 101; from now on both directions are plain bytes."""

    def close(self) -> None:
        """End an upgraded connection in good order."""

    def abort(self) -> None:
        """Break the answer off, so that the client notices that it is incomplete."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a page that says why not; nothing of an answer was written yet."""

    def pause_request(self) -> None:
        """Read no more of the request's body for now."""

    def resume_request(self) -> None:
        """Go on reading the request's body."""
