"""
The grammar of C{allowed_backends}: C{host[:ports]} or C{network[:ports]}.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from appproxy.model.web_address import normalise_host

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LINE: Final = re.compile(r"(?P<target>\[[0-9A-Fa-f:.]+\](?:/\d+)?|[^:\[\]]+)(?::(?P<ports>[0-9,]+))?\Z")


@dataclass(frozen=True)
class AllowedBackend:
    """
    One line.

    @ivar host: a host name, C{*.name} for any one label before it; empty for a network.
    @ivar network: addresses that an C{internal_url} may name literally.
    @ivar ports: empty = every port.
    """

    host: str
    network: IPNetwork | None
    ports: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> AllowedBackend:
        """
        Read one line.

        @raise ValueError: with what to write instead.
        """
        match = _LINE.match(text)
        if match is None:
            raise ValueError(
                f'{text!r} is none of "host:ports", "*.host:ports", "10.0.0.0/8:ports", "[fc00::]/7:ports"'
            )
        ports = _ports(match["ports"])
        network = _network(match["target"].replace("[", "").replace("]", ""))
        return cls("" if network else _host(match["target"]), network, ports)


def _ports(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset()
    numbers = text.split(",")
    if not all(number.isdigit() and 0 < int(number) < 65536 for number in numbers):
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535, several stand with commas")
    return frozenset(map(int, numbers))


def _network(text: str) -> IPNetwork | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        if "/" in text or re.fullmatch(r"[0-9.]+", text):
            raise ValueError(f"{text!r} is not a network: {error}") from None
        return None


def _host(text: str) -> str:
    name = text.removeprefix("*.")
    if "*" in name:
        raise ValueError(f'{text!r}: "*" stands only for the whole leftmost label')
    if text != name and "." not in name:
        raise ValueError(f"{text!r} is too wide: name at least two labels after the star")
    return text[: len(text) - len(name)] + normalise_host(name)
