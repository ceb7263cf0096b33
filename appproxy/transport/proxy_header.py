"""
The header that a balancer puts before a connection's own bytes to say whose it is
(the PROXY protocol, versions 1 and 2, as HAProxy specifies it: sections 2.1 and 2.2).

Pure: bytes in, values out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

MAXIMUM_LINE: Final = 107
"""Version 1: the longest line there can be, with its end (section 2.1)."""

MAXIMUM_SIZE: Final = 4 * 1024
"""Version 2, with what stands behind the addresses: a balancer's names and checksums, no certificates."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = len(_SIGNATURE) + 4
_LINE: Final = re.compile(rb"PROXY (TCP4|TCP6) (\S{1,39}) (\S{1,39}) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\Z")
_PORTS: Final = range(1 << 16)
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES: Final = {1: 4, 2: 16}
"""By address family of version 2: IPv4, IPv6. Others (0 = unspecified, 3 = Unix) name no client."""


class Incomplete(Enum):
    """What L{read} answers when there is no header to give."""

    NeedMore = "need more"
    NoHeader = "no header"


NEED_MORE: Final = Incomplete.NeedMore
NO_HEADER: Final = Incomplete.NoHeader


@dataclass(frozen=True)
class ProxyHeader:
    """
    What a balancer says of a connection.

    @ivar size: the header's bytes; what comes behind them is the client's.
    @ivar host: the client's address; empty for a connection of the balancer's own (a health check).
    @ivar port: the client's port.
    """

    size: int
    host: str = ""
    port: int = 0


Result: TypeAlias = ProxyHeader | Literal[Incomplete.NeedMore, Incomplete.NoHeader]


def read(data: bytes) -> Result:
    """
    Read the header from all bytes received so far.

    @param data: from the first byte of the connection on; may hold more than the header.
    @return: the header, L{NEED_MORE} while it is incomplete, L{NO_HEADER} once it cannot become one.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _binary(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _text(data)
    return NO_HEADER


def _text(data: bytes) -> Result:
    line, end, _ = data[:MAXIMUM_LINE].partition(b"\r\n")
    if not end:
        return NEED_MORE if len(data) < MAXIMUM_LINE and b"\n" not in line else NO_HEADER
    size = len(line) + 2
    if line[:13] == b"PROXY UNKNOWN":
        return ProxyHeader(size) if line[13:14] in (b"", b" ") else NO_HEADER
    found = _LINE.match(line)
    if found is None:
        return NO_HEADER
    kind = IPv4Address if found[1] == b"TCP4" else IPv6Address
    host = _address(found[2], kind)
    ports = int(found[4]), int(found[5])
    if host is None or _address(found[3], kind) is None or not all(port in _PORTS for port in ports):
        return NO_HEADER
    return ProxyHeader(size, host, ports[0])


def _address(text: bytes, kind: type[IPv4Address | IPv6Address]) -> str | None:
    try:
        return str(kind(text.decode("ascii")))
    except ValueError:
        return None


def _binary(data: bytes) -> Result:
    if len(data) < _FIXED:
        return NEED_MORE
    command, family = data[12], data[13] >> 4
    length = int.from_bytes(data[14:16], "big")
    size = _FIXED + length
    if command not in (_LOCAL, _PROXY) or size > MAXIMUM_SIZE:
        return NO_HEADER
    width = _ADDRESS_BYTES.get(family, 0)
    if width and length < 2 * width + 4:
        return NO_HEADER
    if len(data) < size:
        return NEED_MORE
    # The low half of the byte: 1 = stream. A datagram has no connection that could be here.
    if command == _LOCAL or not width or data[13] & 15 != 1:
        return ProxyHeader(size)
    ports = _FIXED + 2 * width
    client = ip_address(data[_FIXED : _FIXED + width])
    return ProxyHeader(size, str(client), int.from_bytes(data[ports : ports + 2], "big"))
