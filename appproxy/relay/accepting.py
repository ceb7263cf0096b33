"""
A tunnel that somebody dialled, and whose end here depends on who that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.model.refusal import Fault
from appproxy.pki.tunnel_peer import TunnelPeer, tunnel_peer
from appproxy.transport.turn import Schedule
from appproxy.tunnel.frames import GOAWAY, HELLO, encode
from appproxy.tunnel.messages import pack_hello, pack_reason
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings

_log: Final = Logger(__name__)


class NotAdmitted(Exception):
    """
    A peer gets no tunnel; the text says why.

    @ivar fault: whose fault it is, for the log.
    @ivar goodbye: the reason of the GOAWAY that tells the peer; empty to tell it nothing.
    """

    def __init__(self, why: str, fault: Fault = "peer", goodbye: str = "") -> None:
        super().__init__(why)
        self.fault = fault
        self.goodbye = goodbye


class AcceptedEnd(Protocol):
    """
    This side's end of an accepted tunnel.

    @ivar timed: is set to what wants to know of the answers to pings, a C{Callable[[bytes], None]}.
    """

    timed: Any

    def make_session(self, wake: Callable[[], None]) -> TunnelSession:
        """The session that the end listens to."""

    def closed(self, why: str) -> None:
        """The connection is gone."""


class Host(Protocol):
    """Who accepts tunnels."""

    clock: IReactorTime
    schedule: Schedule

    def admit(self, peer: TunnelPeer, tunnel: AcceptedTunnel) -> AcceptedEnd:
        """
        The end for a peer whose certificate is good.

        @raise NotAdmitted: if it is not trusted all the same.
        """


def farewell(reason: str) -> bytes:
    """The frames of a tunnel that ends with its beginning: HELLO, and GOAWAY with a reason."""
    hello = encode(HELLO, 0, pack_hello("opener", TunnelSettings()))
    return hello + encode(GOAWAY, 0, pack_reason(reason, "", 0))


class AcceptedTunnel(TunnelProtocol):
    """
    Who the peer is gets settled before its first byte is read.

    @ivar peer_host: its address.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._end: AcceptedEnd | None = None
        self.peer_host = ""
        TunnelProtocol.__init__(self, self._make_session, host.clock, host.schedule)

    def unfit_peer(self) -> str:
        """Ask for an end; without one, the peer is refused."""
        transport: Any = self.transport
        self.peer_host = str(getattr(transport.getPeer(), "host", ""))
        peer = tunnel_peer(transport)
        try:
            if peer is None:
                raise NotAdmitted("its certificate is not of its role")
            end = self._end = self._host.admit(peer, self)
        except NotAdmitted as problem:
            _log.warn(
                "{event}: {role} {id} from {client_address}: {why}",
                event="tunnel_refused",
                role=peer.role if peer else "",
                id=peer.id if peer else "",
                client_address=self.peer_host,
                why=str(problem),
                fault=problem.fault,
            )
            if problem.goodbye:
                self.farewell = farewell(problem.goodbye)
            return str(problem)
        end.timed = self.pong
        self.lost.addCallback(end.closed)
        return ""

    def _make_session(self, wake: Callable[[], None]) -> TunnelSession:
        assert self._end is not None, "admitted before there is a session"
        return self._end.make_session(wake)
