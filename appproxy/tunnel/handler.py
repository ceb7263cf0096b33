"""
Whoever is told what arrives on a stream.
"""

from __future__ import annotations

from typing import Final, Protocol


class StreamHandler(Protocol):
    """
    What a stream (L{appproxy.tunnel.stream.Stream}) calls, synchronously, as frames arrive.

    C{ended} and C{reset} come at most once each; after C{reset} nothing comes.

    A compiled class that names this as its base is called without a look-up of the method.
    """

    __slots__ = ()

    def head(self, payload: bytes) -> None:
        """The opener's side only: a response head; several if the first ones are 1xx."""

    def data(self, data: bytes) -> None:
        """Bytes of body. They still come after C{Stream.pause}, up to the credit that was granted."""

    def trailers(self, payload: bytes) -> None:
        """Trailers; only L{ended} follows."""

    def ended(self) -> None:
        """The peer's direction is complete."""

    def upgraded(self) -> None:
        """The opener's side only: from here on both directions are raw bytes."""

    def times(self, payload: bytes) -> None:
        """The opener's side only: how long the answer took, before its head or before L{reset}."""

    def reset(self, reason: str, detail: str) -> None:
        """The stream is gone; what was not delivered never will be."""

    def writable(self, writable: bool) -> None:
        """Pause (C{False}) or go on (C{True}) calling C{Stream.write}."""


class _Deaf(StreamHandler):
    """Handles what still arrives for a stream that nobody listens to any more."""

    __slots__ = ()

    def head(self, payload: bytes) -> None: ...

    def data(self, data: bytes) -> None: ...

    def trailers(self, payload: bytes) -> None: ...

    def ended(self) -> None: ...

    def upgraded(self) -> None: ...

    def times(self, payload: bytes) -> None: ...

    def reset(self, reason: str, detail: str) -> None: ...

    def writable(self, writable: bool) -> None: ...


DEAF: Final[StreamHandler] = _Deaf()
