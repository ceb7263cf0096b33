"""
What a directory's client is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

_SERVER: Final = re.compile(r"(ldaps?)://(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+)(?::(\d{1,5}))?/?")
_PORTS: Final = {"ldaps": 636, "ldap": 389}


@dataclass(frozen=True)
class ServerAddress:
    """
    A domain controller.

    @ivar host: its name, or its address; the certificate has to have it.
    @ivar tls_first: LDAPS; otherwise StartTLS.
    """

    host: str
    port: int
    tls_first: bool

    @classmethod
    def parse(cls, url: str) -> ServerAddress:
        """
        Read C{ldaps://host} or C{ldap://host}, with or without a port.

        @raise ValueError: if it is neither.
        """
        match = _SERVER.fullmatch(url)
        if match is None:
            raise ValueError('write "ldaps://host", or "ldap://host" for StartTLS')
        scheme, host, port = match.groups()
        return cls(host.strip("[]"), int(port or _PORTS[scheme]), scheme == "ldaps")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.tls_first else 'ldap'}://{host}:{self.port}"


@dataclass(frozen=True)
class DirectoryClientSettings:
    """
    Where to look, and as whom.

    @ivar servers: the first one that answers is asked.
    @ivar base: the distinguished name below which entries are looked for.
    @ivar bind: by Kerberos with a keytab, or with a name and a password.
    @ivar user: for a simple bind.
    @ivar password: for a simple bind.
    @ivar principal: for Kerberos.
    @ivar keytab: for Kerberos.
    @ivar ca_file: whom to trust; the system's authorities if there is none.
    @ivar step_timeout_seconds: for a connection, a handshake, an answer.
    @ivar deadline_seconds: for a whole look-up, from when it has a thread.
    """

    servers: tuple[ServerAddress, ...]
    base: str
    bind: Literal["keytab", "simple"]
    user: str = ""
    password: str = field(default="", repr=False)
    principal: str = ""
    keytab: Path | None = None
    ca_file: Path | None = None
    step_timeout_seconds: float = 3.0
    deadline_seconds: float = 5.0

    def __post_init__(self) -> None:
        """@raise ValueError: if something is missing: an empty password would bind as nobody."""
        if not self.servers or not self.base:
            raise ValueError("a directory needs servers and a base")
        if self.bind == "simple" and not (self.user and self.password):
            raise ValueError("a simple bind needs a user and a password")
        if self.bind == "keytab" and not (self.principal and self.keytab):
            raise ValueError("a bind by keytab needs a principal and a keytab")
