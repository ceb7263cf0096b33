"""
The relay's one port: tunnels of connectors and edges, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IAddress, IProtocol

from appproxy.pki.identity import Identity
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import TUNNEL_ALPN, ServerContext, server_context
from appproxy.transport.peeking import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, Alert, Route


class RelayDoor:
    """
    @param accept: makes the protocol of a tunnel.
    """

    def __init__(self, accept: Callable[[], IProtocol]) -> None:
        self._accept = accept
        self._host = ""
        self._context: ServerContext | None = None

    def show(self, identity: Identity) -> None:
        """The certificate that is shown from now on."""
        self._host = identity.connect_host
        self._context = server_context(
            identity.chain_pem, identity.key_pem, alpn=(TUNNEL_ALPN,), client_ca_pem=identity.ca_pem
        )

    def choose(self, hello: ClientHello, peer: IAddress) -> Route | Alert | None:
        """How to go on with a connection."""
        if hello.server_name != self._host or self._context is None:
            return UNRECOGNIZED_NAME
        if TUNNEL_ALPN not in hello.alpn:
            return NO_APPLICATION_PROTOCOL
        return Route(self._context, lambda _hello: self._accept())
