"""
C{appproxy check --online}: certificates, names and ports.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from appproxy.cli.online import Finding, Unreachable, get
from appproxy.cli.online_access import Account
from appproxy.transport.addresses import HostPort, ListenAddress, bracketed
from appproxy.transport.certificates import dns_names, find_certificates
from appproxy.transport.contexts import BadCertificate

EXPIRES_SOON: Final = timedelta(days=14)
"""Certbot renews 30 days before: at 14 a renewal has failed for two weeks."""

Resolve = Callable[[str], Sequence[str]]


def check_certificates(
    paths: Iterable[Path], hosts: Iterable[str], now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[Finding]:
    """Whether the certificates can be used, when they end, and whether they cover the hosts."""
    covered: set[str] = set()
    for path in paths:
        for finding, names in _certificates_of(path, now()):
            covered |= names
            yield finding
    for host in sorted(set(hosts)):
        if covered.isdisjoint((host, f"*.{host.partition('.')[2]}")):
            yield Finding("failed", "certificate", f"none is for {host}")


def _certificates_of(path: Path, now: datetime) -> Iterator[tuple[Finding, frozenset[str]]]:
    try:
        found = list(find_certificates(path))
    except OSError as error:
        yield Finding("failed", "certificate", f"{path}: {error.strerror}"), frozenset()
        return
    if not found:
        yield Finding("failed", "certificate", f"{path} has none"), frozenset()
    for files in found:
        try:
            certificate = files.load().certificate
        except (OSError, BadCertificate) as error:
            yield Finding("failed", "certificate", f"{files.chain}: {error}"), frozenset()
        else:
            yield _validity(certificate, files.chain, now), dns_names(certificate)


def _validity(certificate: x509.Certificate, path: Path, now: datetime) -> Finding:
    names = ", ".join(sorted(dns_names(certificate))) or "no name"
    ends = certificate.not_valid_after_utc
    text = f"{path}: {names}, until {ends:%Y-%m-%d}"
    if ends <= now:
        return Finding("failed", "certificate", f"{text}: it has expired")
    if certificate.not_valid_before_utc > now:
        return Finding("failed", "certificate", f"{text}: it is not valid yet")
    return Finding("warning" if ends - now < EXPIRES_SOON else "ok", "certificate", text)


def addresses_of(host: str) -> Sequence[str]:
    """
    The addresses of a host, as this machine resolves it.

    @raise OSError: if it has none.
    """
    name = HostPort(host, 443).connect_host
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})


def check_names(hosts: Iterable[str], resolve: Resolve = addresses_of) -> Iterator[Finding]:
    """Whether each host has an address, and whether all lead to the same machines."""
    places: dict[tuple[str, ...], list[str]] = {}
    for host in sorted(set(hosts)):
        try:
            places.setdefault(tuple(resolve(host)), []).append(host)
        except OSError:
            yield Finding("failed", "DNS", f"{host} has no address")
    verdict: Finding
    for addresses, names in places.items():
        alone = len(places) == 1
        text = f"{', '.join(names)}: {', '.join(addresses)}"
        verdict = Finding("ok" if alone else "warning", "DNS", text if alone else f"{text} (others differ)")
        yield verdict


def check_ports(
    listeners: Iterable[str], health_url: str | None = None, account: Account | None = None
) -> Iterator[Finding]:
    """
    Whether each listener is free, or is ours already.

    @param health_url: what an edge of ours answers there.
    @param account: who runs the daemon, if that is not root.
    """
    for text in listeners:
        address = ListenAddress.parse(text)
        if address.kind == "systemd":
            yield Finding("skipped", "port", f"{text} is there only in the systemd unit")
        elif address.is_privileged and account is not None:
            reason = f"the user {account.name} may not have it without CAP_NET_BIND_SERVICE"
            yield Finding("warning", "port", f"{address}: {reason}: {address.instead}")
        elif address.kind == "tcp":
            yield _port(address, health_url)


def _port(address: ListenAddress, health_url: str | None) -> Finding:
    try:
        for bound in address.listen_sockets():
            bound.close()
        return Finding("ok", "port", f"{address} is free")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return Finding("warning", "port", f"{address} needs CAP_NET_BIND_SERVICE: {address.instead}")
        if error.errno != errno.EADDRINUSE:
            return Finding("failed", "port", f"{address}: {error.strerror}")
    if health_url is not None and _is_ours(address, health_url):
        return Finding("ok", "port", f"{address}: an edge answers")
    return Finding("failed" if health_url else "warning", "port", f"{address} is in use")


def _is_ours(address: ListenAddress, health_url: str) -> bool:
    """Whether an edge answers its health check; its certificate is looked at elsewhere."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host = address.host or "127.0.0.1"
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1" if ":" not in host else "::1"
    try:
        answer = get(health_url, context, through=HostPort.parse(f"{bracketed(host)}:{address.port}"))
    except Unreachable:
        return False
    return answer.status in (200, 503)
