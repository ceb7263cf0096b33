"""
Service principal names (RFC 4120, section 6.2; [MS-KILE]): whose ticket an application gets. Pure.

They come from the configuration alone, never from a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

MAXIMUM_SPN: Final = 512
"""A host name of 253 bytes, a realm as long, and a class."""

_CLASS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_REALM: Final = re.compile(r"[A-Z0-9_](?:[A-Z0-9._-]{0,253}[A-Z0-9_])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


class NameRefused(ValueError):
    """A name that could be read as another one, or is missing. The text says why, and quotes none."""


class Service(NamedTuple):
    """
    C{HTTP/host:port@REALM}.

    @ivar host: with C{*} for its leftmost label, a pattern.
    @ivar port: empty for most.
    @ivar realm: empty for the connector's own.
    """

    service_class: str
    host: str
    port: str = ""
    realm: str = ""

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for more than one host."""
        return self.host.startswith("*.")

    @property
    def name(self) -> str:
        """Without the realm: as C{msDS-AllowedToDelegateTo} has it."""
        return f"{self.service_class}/{self.host}" + (f":{self.port}" if self.port else "")

    def principal(self, home_realm: str) -> str:
        """
        The Kerberos name.

        @param home_realm: the connector's own.
        """
        return f"{self.name}@{self.realm or home_realm}"

    def __str__(self) -> str:
        return self.name + (f"@{self.realm}" if self.realm else "")


def check_realm(realm: str) -> str:
    """
    A Kerberos realm as it is: a domain in capitals.

    @raise NameRefused: if it is none.
    """
    if not _REALM.fullmatch(realm) or ".." in realm:
        raise NameRefused("a realm is a domain's name in capitals: CORP.EXAMPLE.COM")
    return realm


def parse_service(text: str) -> Service:
    """
    Read C{HTTP/host}, C{HTTP/*.domain}, either with C{:port} and C{@REALM}.

    @raise NameRefused: if it is anything else.
    """
    if len(text) > MAXIMUM_SPN:
        raise NameRefused(f"a service principal name has at most {MAXIMUM_SPN} characters")
    name, at, realm = text.partition("@")
    service_class, _, address = name.partition("/")
    host, colon, port = address.partition(":")
    literal = host.removeprefix("*.")
    if not _CLASS.fullmatch(service_class) or not _HOST.fullmatch(literal):
        raise NameRefused(
            "a service principal name is CLASS/host or CLASS/*.domain: HTTP/wiki.corp.example.com"
        )
    if colon and not (_PORT.fullmatch(port) and int(port) < 1 << 16):
        raise NameRefused("the port of a service principal name is a number up to 65535")
    return Service(service_class, host, port, check_realm(realm) if at else "")


def concrete(service: Service, host: str) -> Service:
    """
    The service of one host: C{HTTP/*.corp.example.com} and C{wiki.corp.example.com} make
    C{HTTP/wiki.corp.example.com}. C{*} stands for one label.

    @param host: of the application's C{internal_url}.
    @raise NameRefused: if the host is not below that domain.
    """
    if not service.is_pattern:
        return service
    host = host.lower()
    if not _HOST.fullmatch(host) or not _below(host, service.host):
        raise NameRefused(f"the host of internal_url is not one label below {service.host[2:]}")
    return service._replace(host=host)


def permits(patterns: Iterable[Service], service: Service, home_realm: str) -> bool:
    """
    Whether one of the connector's C{allowed_spns} is this service, or stands for it.

    The class is compared exactly, the host in any case; without a port or realm a pattern means
    those that have none, or the connector's own realm.
    """
    return any(_permits(pattern, service, home_realm) for pattern in patterns)


def _permits(pattern: Service, service: Service, home_realm: str) -> bool:
    if (pattern.service_class, pattern.port) != (service.service_class, service.port):
        return False
    if (pattern.realm or home_realm) != (service.realm or home_realm):
        return False
    host = service.host.lower()
    # A pattern of the catalog is permitted by the same pattern, or by one that it is below of.
    return host == pattern.host.lower() or (pattern.is_pattern and _below(host, pattern.host))


def _below(host: str, pattern: str) -> bool:
    label, dot, domain = host.partition(".")
    return bool(label) and label != "*" and bool(dot) and domain == pattern[2:].lower()
