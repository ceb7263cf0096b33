"""
Dial a backend: resolve its name, hold every address against the local file,
connect, and put TLS on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from appproxy.connector.allow_list import AllowList
from appproxy.connector.backend_connection import BackendConnection
from appproxy.model.web_address import WebAddress
from appproxy.transport.addresses import HostPort
from appproxy.transport.contexts import ClientContext
from appproxy.transport.dialer import TlsClientEndpoint, TlsRefused
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.immediate import dialling

MAXIMUM_ADDRESSES: Final = 4
"""Tried one after the other; a name with more is a load balancer's, and any few will do."""


class BackendError(Exception):
    """
    A backend cannot be reached, or must not be.

    @ivar reason: one of the reasons of C{BadGateway}.
    @ivar detail: for the operator; names no secret.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class BackendDialer:
    """
    Dials one application's backend.

    @param context: for an C{https} backend.
    @param connect_timeout_seconds: for resolution, connection and handshake together.
    @param tls: the layer for an C{https} backend.
    """

    def __init__(
        self,
        reactor: Any,
        address: WebAddress,
        allow_list: AllowList,
        context: ClientContext | None,
        connect_timeout_seconds: float,
        tls: TlsLayer,
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._allow_list = allow_list
        self._context = context
        self._timeout_seconds = connect_timeout_seconds
        self._tls = tls
        # Backends without TLS get the same kind of byte transport.
        self._below = dialling(reactor) if tls.immediate else reactor

    def dial(self, closed: Callable[[BackendConnection], None]) -> Deferred[BackendConnection]:
        """
        Connect; fails with L{BackendError} alone, unless it is cancelled.

        @param closed: called once when the connection is closed.
        """
        attempt = Deferred.fromCoroutine(self._dial(closed))
        attempt.addTimeout(self._timeout_seconds, self._reactor, onTimeoutCancel=self._timed_out)
        return attempt

    async def _dial(self, closed: Callable[[BackendConnection], None]) -> BackendConnection:
        address = self._address
        permit = self._allow_list.permit(address)
        if permit is None:
            raise BackendError("backend_not_allowed", f"allowed_backends does not cover {address.authority}")
        if permit.literal is not None:
            found = [str(permit.literal)]
        else:
            found = await _resolve(self._reactor, address.host)
        if not found:
            raise BackendError("backend_name", f"{address.host} has no address")
        permitted = [each for each in found if permit.permits_address(each)]
        if not permitted:
            raise BackendError(
                "backend_not_allowed",
                f"{address.host} resolves to {', '.join(found[:MAXIMUM_ADDRESSES])}, "
                "which names_resolve_into does not cover",
            )
        candidates = permitted[:MAXIMUM_ADDRESSES]
        # An address that swallows what is sent to it leaves time for the next one.
        share = self._timeout_seconds / len(candidates)
        problem = BackendError("backend_refused", "")
        for each in candidates:
            try:
                return await self._connect(each, share, closed)
            except BackendError as error:
                problem = error
        raise problem

    async def _connect(
        self, host: str, timeout: float, closed: Callable[[BackendConnection], None]
    ) -> BackendConnection:
        address = self._address
        endpoint_class = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = endpoint_class(self._below, host, address.port, timeout)
        if self._context is not None:
            endpoint = TlsClientEndpoint(
                self._reactor,
                HostPort(host, address.port),
                self._context,
                timeout=timeout,
                tls=self._tls,
                through=endpoint,
            )
        factory = _OneConnection(lambda: BackendConnection(closed))
        try:
            connection = await endpoint.connect(factory)
        except TlsRefused as error:
            raise BackendError("backend_tls", f"{address.authority}: {error.reason}") from error
        except (ConnectError, ConnectionClosed, ConnectTimeout) as error:
            raise BackendError(
                "backend_refused", f"{address.authority} ({host}): {type(error).__name__}"
            ) from error
        assert isinstance(connection, BackendConnection)
        return connection

    def _timed_out(self, _result: object, seconds: float) -> None:
        raise BackendError(
            "backend_refused", f"{self._address.authority}: no connection within {seconds:g} s"
        )


class _OneConnection(Factory):
    noisy = False

    def __init__(self, build: Callable[[], BackendConnection]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> BackendConnection:
        return self._build()


@implementer(IResolutionReceiver)
class _Addresses:
    def __init__(self) -> None:
        self.found: list[str] = []
        self.complete: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        self.found.append(str(getattr(address, "host", "")))

    def resolutionComplete(self) -> None:
        self.complete.callback(self.found)


def _resolve(reactor: Any, host: str) -> Deferred[list[str]]:
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host)
    return receiver.complete
