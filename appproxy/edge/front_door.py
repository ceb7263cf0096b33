"""
One port for browsers, tunnels and newcomers: what a connection is, told from
its ClientHello.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IAddress, IProtocol

from appproxy.pki.identity import Identity
from appproxy.transport.certificates import CertificateDirectory
from appproxy.transport.client_hello import ClientHello
from appproxy.transport.contexts import ENROLL_ALPN, TUNNEL_ALPN, ServerContext, server_context
from appproxy.transport.peeking import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, Alert, Route

CONNECTOR_ROLES = frozenset({"connector"})


class FrontDoor:
    """
    @param connect_host: the name that tunnels and newcomers ask for; nothing for browsers.
    @param accept_tunnel: makes the protocol of a connector's tunnel; L{None} where the
        tunnels end elsewhere.
    @param accept_newcomer: makes the protocol of an enrolment.
    @param accept_browser: makes the protocol of a web connection.
    """

    def __init__(
        self,
        connect_host: str,
        certificates: CertificateDirectory,
        accept_tunnel: Callable[[], IProtocol] | None,
        accept_newcomer: Callable[[], IProtocol],
        accept_browser: Callable[[str, str | None], IProtocol],
    ) -> None:
        self._connect_host = connect_host
        self._certificates = certificates
        self._accept_tunnel = accept_tunnel
        self._accept_newcomer = accept_newcomer
        self._accept_browser = accept_browser
        self._tunnel_context: ServerContext | None = None
        self._enrol_context: ServerContext | None = None

    def show(self, identity: Identity) -> None:
        """The certificate that tunnels are shown from now on."""
        self._tunnel_context = server_context(
            identity.chain_pem,
            identity.key_pem,
            alpn=(TUNNEL_ALPN,),
            client_ca_pem=identity.ca_pem,
            client_roles=CONNECTOR_ROLES,
        )

    def show_newcomers(self, identity: Identity) -> None:
        """The certificate that newcomers are shown from now on: of the root that their tokens pin."""
        self._enrol_context = server_context(
            identity.chain_pem, identity.key_pem, minimum_version="1.3", alpn=(ENROLL_ALPN,), tickets=False
        )

    def choose(self, hello: ClientHello, peer: IAddress) -> Route | Alert | None:
        """How to go on with a connection."""
        name = hello.server_name
        if name == self._connect_host:
            return self._machine(hello)
        context = self._certificates.context_for(name)
        if context is None:
            return UNRECOGNIZED_NAME
        address = str(getattr(peer, "host", ""))
        return Route(context, lambda hello: self._accept_browser(address, hello.server_name))

    def _machine(self, hello: ClientHello) -> Route | Alert:
        accept = self._accept_tunnel
        if TUNNEL_ALPN in hello.alpn and accept is not None and self._tunnel_context is not None:
            return Route(self._tunnel_context, lambda _hello: accept())
        if ENROLL_ALPN in hello.alpn and self._enrol_context is not None:
            return Route(self._enrol_context, lambda _hello: self._accept_newcomer())
        return NO_APPLICATION_PROTOCOL
