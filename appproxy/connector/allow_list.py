"""
What this connector may ever connect to, whatever an edge asks of it.

Pure: names are judged before resolution and every address again after it, at
every connection (a name can resolve differently the second time: DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appproxy.config.allowed_backends import AllowedBackend, IPNetwork
from appproxy.model.web_address import WebAddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LITERAL_ONLY: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "169.254.0.0/16",
        "fe80::/10",
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
        "fd00:ec2::254/128",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "255.255.255.255/32",
    )
)
"""Loopback, link-local, multicast and cloud metadata: only where C{allowed_backends} writes them out."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a translator (RFC 6052, section 2.1)."""


@dataclass(frozen=True)
class Permit:
    """
    What one application's address may connect to.

    @ivar networks: addresses that are permitted after resolution.
    @ivar literal: the address itself, where the internal URL names one.
    """

    networks: tuple[IPNetwork, ...]
    literal: IPAddress | None = None

    def permits_address(self, text: str) -> bool:
        """Whether a connection to this resolved address may be made."""
        try:
            address = _unmapped(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        if self.literal is not None:
            return address == self.literal
        if any(address in network for network in _LITERAL_ONLY):
            return False
        return any(address in network for network in self.networks)


class AllowList:
    """
    @param allowed: C{allowed_backends}, parsed.
    @param names_resolve_into: where permitted names may lead.
    """

    def __init__(self, allowed: Iterable[AllowedBackend], names_resolve_into: Iterable[IPNetwork]) -> None:
        self._allowed = tuple(allowed)
        self._networks = tuple(names_resolve_into)

    @classmethod
    def parse(cls, lines: Iterable[str], names_resolve_into: Iterable[str]) -> AllowList:
        """
        Read both settings as they are written.

        @raise ValueError: with what is wrong.
        """
        return cls(
            [AllowedBackend.parse(line) for line in lines],
            [ipaddress.ip_network(text) for text in names_resolve_into],
        )

    def permit(self, backend: WebAddress) -> Permit | None:
        """What may be connected to for an application's internal URL; L{None}: nothing."""
        try:
            literal = _unmapped(ipaddress.ip_address(backend.host))
        except ValueError:
            named = any(
                _names(line, backend.host) and _has_port(line, backend.port) for line in self._allowed
            )
            return Permit(self._networks) if named else None
        if any(_covers(line, literal) and _has_port(line, backend.port) for line in self._allowed):
            return Permit((), literal)
        return None


def _names(line: AllowedBackend, host: str) -> bool:
    if line.host.startswith("*."):
        label, _, rest = host.partition(".")
        return bool(label) and rest == line.host[2:]
    return line.network is None and line.host == host


def _covers(line: AllowedBackend, address: IPAddress) -> bool:
    if line.network is None or address not in line.network:
        return False
    reserved = next((network for network in _LITERAL_ONLY if address in network), None)
    # A wide range such as 0.0.0.0/0 does not open loopback; a line about loopback does.
    return reserved is None or _within(line.network, reserved)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    return (
        inner.version == outer.version
        and inner.network_address in outer
        and inner.prefixlen >= outer.prefixlen
    )


def _has_port(line: AllowedBackend, port: int) -> bool:
    return not line.ports or port in line.ports


def _unmapped(address: IPAddress) -> IPAddress:
    """An IPv4 address in IPv6 clothing (C{::ffff:127.0.0.1}, C{64:ff9b::a00:1}) is judged as what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
