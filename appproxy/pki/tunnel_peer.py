"""
Who is at the other end of a tunnel, and how one is dialled: TLS and certificates together.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from appproxy.pki.certificates import certificate_to_pem, issuer_fits_role, opened_groups
from appproxy.pki.identity import Identity
from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import INSPECTED, ConnectProxy, ProxiedEndpoint
from appproxy.transport.contexts import SERVER_ROLES, tunnel_client_context
from appproxy.transport.dialer import TlsClientEndpoint, TlsRefused, tcp_endpoint
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.immediate import dialling
from appproxy.transport.peer import PeerIdentity, identity_of, peer_certificate

REPLACED: Final = (
    "Or the CA was replaced while this machine was away, or did not know of that: enrol it again with a new "
    "token (`appproxy connector token`, `appproxy enroll`)"
)
"""The other reason why a server's certificate is of no CA that we know."""

_FOREIGN: Final = ("unknown_authority", "self_signed_certificate", "invalid_authority")


@dataclass(frozen=True)
class TunnelPeer:
    """
    A peer whose certificate was verified, and issued by whom its role's have to be.

    @ivar identity: what its certificate says.
    @ivar groups: the connector groups that it, an edge, may open; C{*} is every one.
    """

    identity: PeerIdentity
    certificate: x509.Certificate
    groups: frozenset[str] = frozenset()

    @property
    def role(self) -> str:
        """C{connector}, C{edge} or C{relay}."""
        return self.identity.role

    @property
    def id(self) -> str:
        """The holder's id."""
        return self.identity.id

    @property
    def certificate_pem(self) -> bytes:
        """Its certificate, without the chain."""
        return certificate_to_pem(self.certificate)

    @property
    def opens_all(self) -> bool:
        """Whether it may open every connector group."""
        return "*" in self.groups

    def opens(self, group: str) -> bool:
        """Whether it may open this connector group."""
        return group in self.groups or self.opens_all


def tunnel_peer(transport: Any) -> TunnelPeer | None:
    """
    The peer of a TLS transport.

    TLS has verified the chain up to the root, and both issuers stand below it: the one of
    the connectors, whose key is online, must not make edges or relays.

    @return: L{None} unless there is a certificate of ours, from the issuer of its role.
    """
    certificate = peer_certificate(transport)
    if certificate is None:
        return None
    identity = identity_of(certificate)
    if identity is None or not issuer_fits_role(certificate, identity.role):
        return None
    groups = opened_groups(certificate) if identity.role == "edge" else frozenset()
    return TunnelPeer(identity, certificate, groups)


def unfit_server(transport: Any, roles: Collection[str] = SERVER_ROLES) -> str:
    """
    What is wrong with the server of a tunnel that was dialled.

    @return: empty if nothing is.
    """
    peer = tunnel_peer(transport)
    return "" if peer is not None and peer.role in roles else "the server's certificate is not of its role"


def dial_tunnel(
    reactor: Any,
    address: str,
    identity: Identity,
    above: IProtocolFactory,
    roles: frozenset[str] = SERVER_ROLES,
    *,
    tls: TlsLayer | None = None,
    proxy: ConnectProxy | None = None,
) -> Deferred[Any]:
    """
    Dial C{host:port} with this identity.

    @param roles: those that the server may have.
    @param tls: Twisted's own by default.
    @param proxy: the way out.
    @return: fires with the protocol that C{above} built, once TLS is up; fails with L{TlsRefused},
        L{appproxy.transport.connect_proxy.ProxyRefused}, or what the connection failed with.
    @raise ValueError: if the address or the identity cannot be used.
    """
    context = tunnel_client_context(
        identity.chain_pem, identity.key_pem, identity.ca_pem, identity.connect_host, server_roles=roles
    )
    target = HostPort.parse(address)
    through = None
    if proxy is not None:
        below = dialling(reactor) if tls is not None and tls.immediate else reactor
        through = ProxiedEndpoint(tcp_endpoint(below, proxy.address), proxy, target)
    endpoint = TlsClientEndpoint(reactor, target, context, tls=tls, through=through)
    return endpoint.connect(above).addErrback(_name_the_inspector)


def _name_the_inspector(failure: Failure) -> Failure:
    """Whoever opens TLS on the way shows a certificate of their own."""
    error = failure.value
    if isinstance(error, TlsRefused) and error.reason in _FOREIGN:
        return Failure(TlsRefused(error.reason, error.host, f"{INSPECTED}. {REPLACED}"))
    return failure
