"""
C{appproxy check --online}: identities, and what tunnels are dialled to.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from appproxy.cli.online import Finding, Unreachable, connect
from appproxy.pki.identity import CERTIFICATE_FILE, KEY_FILE, Identity, NotEnrolled, load
from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import ConnectProxy
from appproxy.transport.contexts import SERVER_ROLES, TUNNEL_ALPN
from appproxy.transport.peer import identity_of

RELAY: Final = frozenset({"relay"})


def check_identity(
    directory: Path,
    more_addresses: Iterable[str],
    now: Callable[[], float] = time.time,
    proxy: ConnectProxy | None = None,
) -> Iterator[Finding]:
    """
    Whether this machine is enrolled, and whether the other end of its tunnels is whom it trusts.

    @param proxy: the way out.
    """
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
    if identity.role == "relay":
        # It is dialled; where it enrolled nobody takes tunnels of its.
        return
    for address in dict.fromkeys((*identity.addresses, *more_addresses)):
        yield _tunnel("tunnel", identity, HostPort.parse(address), SERVER_ROLES, proxy)


def check_relays(
    directory: Path, dial: Iterable[str], now: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """
    Whether there is a relay wherever an edge dials one, and whether it takes this edge.

    @param directory: the edge's identity, which it makes when it first starts.
    """
    try:
        identity: Identity | None = load(directory)
    except NotEnrolled:
        identity = None
    for address in map(HostPort.parse, dict.fromkeys(dial)):
        if identity is None or identity.is_expired(now()):
            yield _answers(address)
        else:
            yield _tunnel("relay", identity, address, RELAY)


def _answers(address: HostPort) -> Finding:
    """Without a certificate of our own that somebody is there is all that can be seen."""
    try:
        connect(address).close()
    except Unreachable as error:
        # Relays enrol at an edge that runs.
        return Finding("warning", "relay", str(error))
    return Finding("ok", "relay", f"{address} answers; more is known after the edge's first start")


def _tunnel(
    subject: str,
    identity: Identity,
    address: HostPort,
    roles: Collection[str],
    proxy: ConnectProxy | None = None,
) -> Finding:
    """A handshake, as a tunnel begins."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([TUNNEL_ALPN.decode()])
    try:
        context.load_verify_locations(cadata=identity.ca_pem.decode())
        context.load_cert_chain(identity.directory / CERTIFICATE_FILE, identity.directory / KEY_FILE)
        stream = connect(address, proxy)
        with stream, context.wrap_socket(stream, server_hostname=identity.connect_host) as tls:
            problem = _problem_of(tls, roles)
    except Unreachable as error:
        return Finding("failed", subject, str(error))
    except ssl.SSLCertVerificationError as error:
        return Finding("failed", subject, f"{address} is not whom we trust: {error.verify_message}")
    except OSError as error:
        return Finding("failed", subject, f"{address}: {error}")
    if problem:
        return Finding("failed", subject, f"{address} {problem}")
    return Finding("ok", subject, f"{address} answers as {identity.connect_host}")


def _problem_of(tls: ssl.SSLSocket, roles: Collection[str]) -> str:
    """What is wrong with the other side after the handshake; empty if nothing is."""
    if tls.selected_alpn_protocol() != TUNNEL_ALPN.decode():
        return "speaks no tunnel"
    shown = identity_of(x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b""))
    if shown is None or shown.role not in roles:
        return f"is no {' and no '.join(sorted(roles))}"
    try:
        # In TLS 1.3 a server judges our certificate after the handshake; then it says HELLO.
        said = tls.recv(1)
    except (ConnectionError, ssl.SSLError):
        said = b""
    return "" if said else "does not take our certificate"
