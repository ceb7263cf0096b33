"""
What outlives the requests of one client connection.
"""

from __future__ import annotations

from appproxy.edge.facts import ConnectionFacts
from appproxy.httpwire.block import Block
from appproxy.httpwire.rules import forwarded
from appproxy.relay.opener import TunnelLink


class ClientConnection:
    """
    Who the client is, and the tunnels that its sign-ons live on.

    A sign-on that belongs to the connection (NTLM, Negotiate) lives on one tunnel
    of the application's connector group, so every later request to that group goes there too.

    @ivar number: unique in this process.
    """

    __slots__ = ("_bound", "_host", "_way", "facts", "number")

    def __init__(self, number: int, facts: ConnectionFacts) -> None:
        self.number = number
        self.facts = facts
        self._bound: dict[str, TunnelLink] = {}
        self._host = b""
        self._way: Block | None = None

    def way_to(self, host: bytes) -> Block:
        """What an application at this host is told of the way to us; mostly there is one host."""
        way = self._way
        if way is None or host != self._host:
            facts = self.facts
            way = self._way = forwarded(facts.client_address, host, facts.scheme, facts.port)
            self._host = host
        return way

    def bind(self, group: str, link: TunnelLink) -> None:
        """Stay with this tunnel."""
        self._bound[group] = link

    def bound_to(self, group: str) -> TunnelLink | None:
        """
        The tunnel to stay with. Once that is about to close, sign-on starts anew on
        another: a fresh backend connection has signed nobody on.
        """
        link = self._bound.get(group)
        if link is None or link.usable:
            return link
        del self._bound[group]
        link.release_client(self.number)
        return None

    def gone(self) -> None:
        """The client's connection is closed."""
        bound, self._bound = self._bound, {}
        for link in bound.values():
            link.release_client(self.number)
