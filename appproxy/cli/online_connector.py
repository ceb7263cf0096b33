"""
C{appproxy check --online}: what lies behind a connector.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from appproxy.cli.online import Finding, Unreachable, connect
from appproxy.cli.online_network import Resolve, addresses_of
from appproxy.config.allowed_backends import AllowedBackend
from appproxy.transport.addresses import HostPort


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
