"""
What C{appproxy check --online} finds out, and the synchronous HTTP that it takes.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from appproxy.transport.addresses import HostPort, bracketed
from appproxy.transport.blocking_proxy import connect_through
from appproxy.transport.connect_proxy import ConnectProxy, ProxyRefused

TIMEOUT_SECONDS: Final = 10.0
"""For one connection: a provider that takes longer is not usable either."""

MAXIMUM_ANSWER_SIZE: Final = 1 << 20
"""Bytes: discovery documents and key sets are a few kilobytes."""

Verdict = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """
    One thing looked at.

    @ivar subject: a few words; several findings may share them.
    """

    verdict: Verdict
    subject: str
    message: str


class Unreachable(Exception):
    """An address does not answer as it should; the message says how."""


@dataclass(frozen=True)
class Answer:
    """
    An HTTP answer.

    @ivar date: its C{Date} header, or empty.
    """

    status: int
    body: bytes
    date: str = ""

    def json(self) -> dict[str, Any]:
        """
        The body as a JSON object.

        @raise Unreachable: if it is none.
        """
        try:
            data = json.loads(self.body)
        except ValueError:
            raise Unreachable("the answer is not JSON") from None
        if not isinstance(data, dict):
            raise Unreachable("the answer is not a JSON object")
        return data


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """
    A client's context that trusts the system's authorities, or one file's.

    @raise Unreachable: if the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Unreachable(f"{ca_file} cannot be used: {error}") from None


def connect(address: HostPort, proxy: ConnectProxy | None = None) -> socket.socket:
    """
    A TCP connection.

    @param proxy: the way out.
    @raise Unreachable: with the reason.
    """
    near = proxy.address if proxy else address
    try:
        return connect_through(proxy, address, TIMEOUT_SECONDS)
    except socket.gaierror:
        raise Unreachable(f"{near.host} has no address") from None
    except OSError as error:
        raise Unreachable(f"{near} does not answer: {error.strerror or error}") from None
    except ProxyRefused as error:
        raise Unreachable(f"{address}: {error}") from None


def get(url: str, context: ssl.SSLContext | None = None, *, through: HostPort | None = None) -> Answer:
    """
    GET without following redirects.

    @param through: connect to this address instead of the URL's own.
    @raise Unreachable: with the reason.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    address = HostPort.parse(f"{bracketed(host)}:{parts.port or (443 if secure else 80)}")
    stream = connect(through or address)
    try:
        if secure:
            stream = (context or tls_context()).wrap_socket(stream, server_hostname=host)
        return _exchange(stream, address, parts.path + (f"?{parts.query}" if parts.query else ""))
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"its certificate is refused: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{address} does not answer as it should: {error}") from None
    finally:
        stream.close()


def _exchange(stream: socket.socket, address: HostPort, path: str) -> Answer:
    connection = http.client.HTTPConnection(address.host, address.port)
    connection.sock = stream
    connection.request("GET", path or "/", headers={"Accept": "application/json", "Connection": "close"})
    response = connection.getresponse()
    body = response.read(MAXIMUM_ANSWER_SIZE + 1)
    if len(body) > MAXIMUM_ANSWER_SIZE:
        raise Unreachable("the answer is too long")
    return Answer(response.status, body, response.getheader("Date", ""))
