"""
TCP through an HTTP proxy or without one, for command lines: it blocks.
"""

from __future__ import annotations

import socket
from typing import Final

from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import ConnectProxy, ProxyRefused

_READ_SIZE: Final = 16 << 10


def connect_through(proxy: ConnectProxy | None, target: HostPort, timeout_seconds: float) -> socket.socket:
    """
    A byte stream to a server that says nothing before we do, as with TLS.

    @param timeout_seconds: for each step; the stream keeps it.
    @raise ProxyRefused: if the proxy does not let us through, or there is no authorization for it.
    @raise OSError: if whoever is nearest does not answer.
    """
    if proxy is None:
        return _connect(target, timeout_seconds)
    if proxy.authorize is not None:
        authorization = proxy.authorize()
        assert isinstance(authorization, bytes), "a command line waits in the call"
        proxy = proxy.authorized(authorization)
    stream = _connect(proxy.address, timeout_seconds)
    try:
        _pass(stream, proxy, target)
    except BaseException:
        stream.close()
        raise
    return stream


def _connect(address: HostPort, timeout_seconds: float) -> socket.socket:
    return socket.create_connection((address.connect_host, address.port), timeout_seconds)


def _pass(stream: socket.socket, proxy: ConnectProxy, target: HostPort) -> None:
    stream.sendall(proxy.request(target))
    data = b""
    while not proxy.answer_size(data):
        received = stream.recv(_READ_SIZE)
        if not received:
            text = f"the proxy {proxy.address} hangs up without an answer"
            raise ProxyRefused("proxy_closed", text)
        data += received
