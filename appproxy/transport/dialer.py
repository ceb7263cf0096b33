"""
Dial TLS servers; hand the connection over only when the server is who it should be.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, cast

from cryptography.x509 import Certificate, DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone, TimeoutError
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from appproxy.transport.addresses import HostPort, is_address
from appproxy.transport.contexts import ClientContext
from appproxy.transport.handshaking import Handshaking, TlsLayer
from appproxy.transport.immediate import dialling
from appproxy.transport.peer import identity_of, peer_certificate
from appproxy.transport.socket_options import prepare_transport
from appproxy.transport.stock_tls import StockTls

CONNECT_SECONDS: Final = 10.0
"""For name, connection and handshake together, unless set."""

_ALERT: Final = re.compile("alert_.+")


class TlsRefused(Exception):
    """
    The TLS handshake failed, or the server is not who it should be.

    @ivar reason: in one word, e.g. C{unknown_authority}, C{certificate_expired}, C{other_host}.
    """

    def __init__(self, reason: str, host: str, advice: str = "") -> None:
        super().__init__(f"TLS to {host} failed: {reason}{': ' if advice else ''}{advice}")
        self.reason = reason
        self.host = host


def tcp_endpoint(reactor: Any, address: HostPort, timeout: float = CONNECT_SECONDS) -> IStreamClientEndpoint:
    """Plain TCP to a name or an address; several addresses are tried in turn (RFC 8305)."""
    host = address.connect_host
    return HostnameEndpoint(reactor, host, address.port, timeout)


@implementer(IStreamClientEndpoint)
class TlsClientEndpoint:
    """
    TLS over TCP, or over another endpoint.

    C{connect} fires after the handshake, with the protocol that the factory built; it fails with
    L{TlsRefused}, or with what the connection failed with.
    """

    def __init__(
        self,
        reactor: Any,
        address: HostPort,
        context: ClientContext,
        *,
        timeout: float = CONNECT_SECONDS,
        tls: TlsLayer | None = None,
        through: IStreamClientEndpoint | None = None,
    ) -> None:
        """
        @param reactor: names, TCP and time.
        @param address: where to; the certificate is checked against C{context.host}, not against this.
        @param timeout: seconds for everything up to the end of the handshake.
        @param through: gives the byte stream instead of TCP to C{address}.
        @raise BadCertificate: if our own certificate in C{context} cannot be used.
        """
        self._reactor = reactor
        self._context = context
        self._timeout = timeout
        self._tls = tls or StockTls(reactor)
        self._tls.prepare(context)
        below = dialling(reactor) if self._tls.immediate else reactor
        self._below = through or tcp_endpoint(below, address, timeout)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        attempt = _Attempt(self._context, self._tls, protocolFactory)
        attempt.connected.addTimeout(self._timeout, self._reactor, _timed_out)
        attempt.begin(self._below)
        return attempt.connected


def _timed_out(result: object, _seconds: float) -> object:
    if isinstance(result, Failure) and result.check(CancelledError):
        # What every endpoint of Twisted's fails with.
        raise TimeoutError
    return result


class _Attempt(Factory):
    """One connection on its way; C{connected} fires once, with its protocol or why there is none."""

    noisy = False

    def __init__(self, context: ClientContext, tls: TlsLayer, above: IProtocolFactory) -> None:
        self._context = context
        self._tls = tls
        self._above = above
        self._handshaking: Handshaking | None = None
        self._dialling: Deferred[IProtocol] | None = None
        self._over = False
        self.connected: Deferred[IProtocol] = Deferred(lambda _: self._give_up())

    def begin(self, below: IStreamClientEndpoint) -> None:
        self._dialling = below.connect(self)
        self._dialling.addCallbacks(lambda _: None, self._fail)

    def doStart(self) -> None:
        self._above.doStart()

    def doStop(self) -> None:
        self._above.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        self._handshaking = Handshaking(lambda tls: self._completed(tls, addr), self._lost, self._succeed)
        return self._tls.client(self._context, self._handshaking)

    def _completed(self, tls: Any, peer: IAddress) -> IProtocol | None:
        if self._over:
            return None
        problem = unfit_server(self._context, tls)
        if problem:
            self._fail(Failure(TlsRefused(problem, self._context.host)))
            return None
        prepare_transport(tls)
        protocol = self._above.buildProtocol(peer)
        if protocol is None:
            self._fail(Failure(ConnectionAborted()))
        return protocol

    def _succeed(self, protocol: IProtocol) -> None:
        if not self._over:
            self._over = True
            self._handshaking = self._dialling = None
            self.connected.callback(protocol)

    def _lost(self, reason: Failure, problem: str) -> None:
        self._fail(Failure(TlsRefused(problem or loss_reason(reason), self._context.host)))

    def _fail(self, reason: Failure) -> None:
        if not self._over:
            self._over = True
            self._handshaking = self._dialling = None
            self.connected.errback(reason)

    def _give_up(self) -> None:
        self._over = True
        if self._handshaking is not None and self._handshaking.transport is not None:
            cast(Any, self._handshaking.transport).abortConnection()
        elif self._dialling is not None:
            self._dialling.cancel()


def unfit_server(context: ClientContext, tls: Any) -> str:
    """
    What is wrong with a server whose handshake succeeded.

    @return: empty if nothing is.
    """
    negotiated = tls.negotiatedProtocol
    if negotiated not in context.alpn and (negotiated is not None or context.server_roles):
        return "other_protocol"
    if not context.verify:
        return ""
    certificate = peer_certificate(tls)
    if certificate is None:
        return "no_certificate"
    if not has_host(certificate, context.host):
        return "other_host"
    if not context.server_roles:
        return ""
    identity = identity_of(certificate)
    if identity is None:
        return "certificate_without_role"
    return "" if identity.role in context.server_roles else "role_not_allowed"


def has_host(certificate: Certificate, host: str) -> bool:
    """Whether a certificate is for this name or address (RFC 9525, section 6)."""
    wanted = IPAddress_ID(host) if is_address(host) else DNS_ID(host)
    try:
        verify_service_identity(list(_patterns(certificate)), [wanted], [])
    except (VerificationError, CertificateError, ExtensionNotFound, ValueError):
        return False
    return True


def _patterns(certificate: Certificate) -> Iterator[DNSPattern | IPAddressPattern]:
    """
    The DNS names and addresses among the alternative names, without those that are neither.

    Not service_identity's own C{extract_patterns}: it fails on the URIs that carry our roles.
    """
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    for name in names.get_values_for_type(DNSName):
        try:
            yield DNSPattern.from_bytes(name.encode("ascii"))
        except (CertificateError, UnicodeError):
            continue
    for address in names.get_values_for_type(IPAddress):
        if not isinstance(address, IPv4Network | IPv6Network):
            yield IPAddressPattern(address)


def loss_reason(reason: Failure) -> str:
    """
    In one word why a TLS connection ended; a peer's alert comes as C{alert_...}.
    """
    error = reason.value
    text = ""
    if isinstance(error, SSL.Error) and error.args and error.args[0] and isinstance(error.args[0], list):
        text = str(error.args[0][-1][-1])
    elif isinstance(error, ssl.SSLError):
        # "[SSL: NAME] text (_ssl.c:1)": not every alert has its NAME, all have their text.
        text = str(error.args[-1]).partition("] ")[2].partition(" (_ssl")[0]
    if text:
        text = text.lower().replace(" ", "_")
        alert = _ALERT.search(text)
        return alert[0] if alert else text
    return "closed" if reason.check(ConnectionDone) else "broken_off"
