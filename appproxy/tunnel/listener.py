"""
What a session tells its user beside what it tells the handlers of streams.
"""

from __future__ import annotations

from typing import Protocol

from appproxy.tunnel.messages import OpenMessage, PeerHello
from appproxy.tunnel.stream import Stream


class TunnelListener(Protocol):
    """
    The user of a L{appproxy.tunnel.session.TunnelSession}.

    Any method may raise L{appproxy.tunnel.errors.TunnelError} to close the tunnel; any
    other exception closes it too (but in C{opened}, where it only resets the stream).
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
        """The peer serves no new streams, or opens none: C{session.peer_goodbye} says why."""

    def pong(self, payload: bytes) -> None:
        """The answer to a ping of ours."""
