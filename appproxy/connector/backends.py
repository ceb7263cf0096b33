"""
Pools and dialers for the applications that this connector serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appproxy.connector.allow_list import AllowList
from appproxy.connector.dial import BackendDialer
from appproxy.connector.pool import Pool
from appproxy.model.application import Backend
from appproxy.transport.contexts import ClientContext, backend_client_context, load_certificates
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.wheel import TimerWheel


class Backends:
    """
    Makes the pool of each application.

    @param ca_pems: CAs trusted besides the system's.
    @raise BadCertificate: if one of them cannot be read.
    """

    def __init__(
        self,
        reactor: Any,
        wheel: TimerWheel,
        allow_list: AllowList,
        ca_pems: Sequence[bytes],
        connect_timeout_seconds: float,
        idle_connections: int,
        idle_timeout_seconds: float,
        tls: TlsLayer,
    ) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._allow_list = allow_list
        self._ca_pems = tuple(ca_pems)
        for pem in self._ca_pems:
            load_certificates(pem)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._idle_connections = idle_connections
        self._idle_timeout_seconds = idle_timeout_seconds
        self._tls = tls

    def pool(self, backend: Backend) -> Pool:
        """A pool that dials this application's internal URL, and nothing else."""
        address = backend.internal_url
        context: ClientContext | None = None
        if address.scheme == "https":
            context = backend_client_context(self._ca_pems, backend.verify_backend_certificate, address.host)
        dialer = BackendDialer(
            self._reactor, address, self._allow_list, context, self._connect_timeout_seconds, self._tls
        )
        return Pool(
            dialer.dial,
            self._wheel,
            self._reactor.seconds,
            self._idle_connections,
            self._idle_timeout_seconds,
        )
