"""
C{appproxy check --online}: what a connector (or relay) dials, and what lies behind it.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from appproxy.cli.online import Finding, Unreachable, connect
from appproxy.cli.online_network import Resolve, addresses_of
from appproxy.config.allowed_backends import AllowedBackend
from appproxy.pki.identity import CERTIFICATE_FILE, KEY_FILE, Identity, NotEnrolled, load
from appproxy.transport.addresses import HostPort
from appproxy.transport.contexts import TUNNEL_ALPN

Dial = Callable[[HostPort], socket.socket]


def check_identity(
    directory: Path, more_addresses: Iterable[str], now: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Whether this machine is enrolled, and whether the other end of its tunnels is whom it trusts."""
    try:
        identity = load(directory)
    except NotEnrolled as error:
        yield Finding("failed", "identity", str(error))
        return
    if identity.is_expired(now()):
        yield Finding("failed", "identity", f"{directory} has expired: enrol again")
        return
    days = (identity.expires_at - now()) / 86400
    yield Finding("ok", "identity", f"{identity.role} {identity.name}, {days:.0f} days left")
    for address in dict.fromkeys((*identity.addresses, *more_addresses)):
        yield _tunnel(identity, HostPort.parse(address))


def _tunnel(identity: Identity, address: HostPort) -> Finding:
    """A handshake, as a tunnel begins."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([TUNNEL_ALPN.decode()])
    try:
        context.load_verify_locations(cadata=identity.ca_pem.decode())
        context.load_cert_chain(identity.directory / CERTIFICATE_FILE, identity.directory / KEY_FILE)
        stream = connect(address)
        with stream, context.wrap_socket(stream, server_hostname=identity.connect_host) as tls:
            if tls.selected_alpn_protocol() != TUNNEL_ALPN.decode():
                return Finding("failed", "tunnel", f"{address} speaks no tunnel")
    except Unreachable as error:
        return Finding("failed", "tunnel", str(error))
    except ssl.SSLCertVerificationError as error:
        return Finding("failed", "tunnel", f"{address} is not whom we trust: {error.verify_message}")
    except OSError as error:
        return Finding("failed", "tunnel", f"{address}: {error}")
    return Finding("ok", "tunnel", f"{address} answers as {identity.connect_host}")


def check_backends(
    lines: Iterable[str], names_resolve_into: Iterable[str], resolve: Resolve = addresses_of
) -> Iterator[Finding]:
    """Whether the backends that are written in full resolve to where they may, and answer."""
    networks = [ipaddress.ip_network(text) for text in names_resolve_into]
    for line in lines:
        backend = AllowedBackend.parse(line)
        if backend.network is not None and backend.network.num_addresses == 1:
            for port in sorted(backend.ports):
                yield _answers(HostPort(str(backend.network.network_address), port))
        if not backend.host or backend.host.startswith("*."):
            continue
        try:
            addresses = resolve(backend.host)
        except OSError:
            yield Finding("warning", "backend", f"{backend.host} has no address")
            continue
        for address in addresses:
            if not any(ipaddress.ip_address(address) in network for network in networks):
                yield Finding("failed", "backend", f"{line}: {address} is in none of names_resolve_into")
        for port in sorted(backend.ports):
            yield _answers(HostPort(backend.host, port))


def _answers(address: HostPort) -> Finding:
    try:
        connect(address).close()
    except Unreachable as error:
        return Finding("warning", "backend", str(error))
    return Finding("ok", "backend", f"{address} answers")
