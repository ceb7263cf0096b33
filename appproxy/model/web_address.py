"""
Web addresses of published applications, checked and normalised once.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import idna
from pydantic import GetPydanticSchema
from pydantic_core import core_schema

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, order=True)
class WebAddress:
    """
    C{scheme://host[:port]/path/}: the path always ends in a slash.

    @ivar host: lower-case ASCII (IDNA), or an address without brackets.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_text(self) -> str:
        """The host as it stands in a URL, IPv6 addresses in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return self.host_text
        return f"{self.host_text}:{self.port}"

    @property
    def origin(self) -> str:
        """The serialised origin (RFC 6454, section 6.1)."""
        return f"{self.scheme}://{self.authority}"

    @property
    def is_literal_address(self) -> bool:
        """Whether the host is an IP address rather than a name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def normalise_host(host: str) -> str:
    """
    Lower-case ASCII of a host name (IDNA 2008), or the canonical address.

    @raise ValueError: if it is neither a host name nor an address.
    """
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        pass
    try:
        ascii_host = idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{host!r} is not a host name") from error
    if ascii_host.rsplit(".", 1)[-1].isdigit():
        raise ValueError(f"{host!r} is neither a host name nor an address")
    return ascii_host


def parse_web_address(text: object) -> WebAddress:
    """
    Read an address as an administrator writes it.

    @raise ValueError: with what is wrong.
    """
    if isinstance(text, WebAddress):
        return text
    if not isinstance(text, str):
        raise ValueError('write an address such as "https://wiki.example.com/"')
    if any(ord(character) <= 0x20 or character in '\\"<>^`{|}\x7f' for character in text):
        raise ValueError("an address has no blanks, control characters or backslashes")
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("an address starts with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address carries no user name or password")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError("an address has no query and no fragment")
    if not parts.hostname:
        raise ValueError("an address names a host")
    if "*" in parts.hostname:
        raise ValueError("wildcard addresses are not supported yet; name the host")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port is a number from 1 to 65535") from None
    if port == 0:
        raise ValueError("the port is a number from 1 to 65535")
    return WebAddress(
        parts.scheme, normalise_host(parts.hostname), port or _DEFAULT_PORTS[parts.scheme], _path(parts.path)
    )


def _path(path: str) -> str:
    if not path:
        return "/"
    if not path.endswith("/"):
        raise ValueError('the path ends in "/": what is below it is published')
    if "//" in path or "%" in path or ";" in path:
        raise ValueError("the path has no empty parts, percent signs or semicolons")
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError("the path has no dot segments")
    return path


WebAddressField = Annotated[
    WebAddress,
    GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_plain_validator_function(
            parse_web_address, serialization=core_schema.to_string_ser_schema()
        ),
        lambda _source, _handler: {"type": "string", "format": "uri"},
    ),
]
"""A pydantic field that reads and writes address text."""
