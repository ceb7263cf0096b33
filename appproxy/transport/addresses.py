"""
Addresses to listen on and to dial, as they stand in configuration files.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from appproxy.model.web_address import normalise_host

BACKLOG: Final = 1024
"""Connections that the kernel holds while the reactor is busy; Linux cuts it to net.core.somaxconn."""

_FIRST_INHERITED_DESCRIPTOR: Final = 3
_FIRST_UNPRIVILEGED_PORT: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_PORT: Final = re.compile(r"[0-9]{1,5}\Z")
_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^\[\]:]*)):(?P<port>[^:\[\]]*)\Z")


def _port(text: str, lowest: int) -> int:
    if not _PORT.match(text) or not lowest <= int(text) <= 65535:
        raise ValueError(f"the port is a number from {lowest} to 65535")
    return int(text)


def _host_and_port(text: str, lowest: int) -> tuple[str, int]:
    match = _HOST_AND_PORT.match(text)
    if match is None:
        raise ValueError('write "host:port"; an IPv6 address stands in brackets: "[::1]:443"')
    port = _port(match["port"], lowest)
    if match["literal"] is None:
        return match["name"], port
    try:
        return ipaddress.IPv6Address(match["literal"]).compressed, port
    except ValueError:
        raise ValueError(f"{match['literal']!r} is not an IPv6 address") from None


def bracketed(host: str) -> str:
    """The host as it stands before a port: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True)
class ListenAddress:
    """
    Where to listen: C{":443"}, C{"127.0.0.1:8443"}, C{"[::1]:8443"}, C{"unix:/path"}, C{"systemd:https"}.

    @ivar host: an address for C{tcp}, empty for every address of the machine; else the path or the name.
    @ivar port: for C{tcp}; 0 lets the system choose.
    """

    kind: Literal["tcp", "unix", "systemd"]
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """
        Read an address as an administrator writes it.

        @raise ValueError: with what to write instead.
        """
        kind, _, rest = text.partition(":")
        if kind == "unix":
            if not rest.startswith("/"):
                raise ValueError('write a whole path: "unix:/run/appproxy/edge/admin.sock"')
            return cls("unix", rest)
        if kind == "systemd":
            if not rest or not rest.isprintable() or ":" in rest:
                raise ValueError('write the name of a systemd socket: "systemd:https"')
            return cls("systemd", rest)
        host, port = _host_and_port(text, 0)
        if host and not is_address(host):
            raise ValueError("listen on an address, not on a name; leave it out for every address")
        return cls("tcp", host, port)

    def __str__(self) -> str:
        return f"{self.kind}:{self.host}" if self.kind != "tcp" else f"{bracketed(self.host)}:{self.port}"

    def listen_sockets(self, *, share: bool = False) -> list[socket.socket]:
        """
        Bound, listening, non-blocking sockets; two (IPv4, IPv6) for every address of the machine.

        @param share: let other processes bind the same port (C{SO_REUSEPORT}).
        @raise OSError: if one cannot be had.
        """
        if self.kind == "systemd":
            return inherited_sockets(self.host, os.environ, os.getpid())
        if self.kind == "unix":
            raise ValueError("a path is bound by the reactor itself")
        if self.host:
            return [_bound(self.host, self.port, share)]
        first = _bound("0.0.0.0", self.port, share)
        return [first, *_also_on_ipv6(first, share)]

    @property
    def is_privileged(self) -> bool:
        """Whether only root, or C{CAP_NET_BIND_SERVICE}, may have this port (C{ip(7)})."""
        return self.kind == "tcp" and 0 < self.port < first_unprivileged_port()

    @property
    def instead(self) -> str:
        """What a daemon that is not root writes instead of a privileged port."""
        name = "http" if self.port == 80 else "https"
        return f'write "systemd:{name}", and start it by its systemd unit, or a port from 1024 on'

    def explained(self, error: OSError, environment: Mapping[str, str], process_id: int) -> OSError:
        """An error of L{listen_sockets} that also says what to do, where that can be told."""
        passed = sorted({name for name in _passed_names(environment, process_id) if name})
        refused = error.errno in (errno.EACCES, errno.EPERM)
        if self.kind != "tcp" or not (refused or error.errno == errno.EADDRINUSE):
            return error
        if passed:
            names = " or ".join(f'"systemd:{name}"' for name in passed)
            return OSError(error.errno, f"{error.strerror}: systemd holds the ports: write {names}")
        if refused and self.is_privileged:
            return OSError(error.errno, f"{error.strerror}: {self.instead}")
        return error

    def remove_stale_socket(self) -> None:
        """
        Unlink a socket that a process which no longer runs left at our path.

        @raise OSError: if somebody listens there, or it is no socket.
        """
        try:
            if not stat.S_ISSOCK(os.lstat(self.host).st_mode):
                raise FileExistsError(f"{self.host} exists and is not a socket")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(self.host)
            except ConnectionRefusedError:
                os.unlink(self.host)
                return
        raise FileExistsError(f"another process listens on {self.host}")


def first_unprivileged_port(setting: Path = _FIRST_UNPRIVILEGED_PORT) -> int:
    """The first port that everybody may have."""
    try:
        return int(setting.read_text("ascii"))
    except (OSError, ValueError):
        return 1024


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bound(host: str, port: int, share: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Keeps IPv4 clients from appearing as ::ffff:1.2.3.4, which no rule would match.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _also_on_ipv6(first: socket.socket, share: bool) -> list[socket.socket]:
    """The same port for IPv6, unless this machine has none."""
    try:
        return [_bound("::", first.getsockname()[1], share)]
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return []
        first.close()
        raise


def inherited_sockets(
    name: str,
    environment: Mapping[str, str],
    process_id: int,
    first_descriptor: int = _FIRST_INHERITED_DESCRIPTOR,
) -> list[socket.socket]:
    """
    Sockets that systemd passed under a name (C{sd_listen_fds(3)}).

    @raise OSError: if there is none of this name.
    """
    names = _passed_names(environment, process_id)
    wanted = [index for index, each in enumerate(names) if each == name]
    if not wanted:
        raise FileNotFoundError(f"systemd passed no socket named {name!r} (FileDescriptorName= of the unit)")
    return [_adopted(first_descriptor + index) for index in wanted]


def _passed_names(environment: Mapping[str, str], process_id: int) -> list[str]:
    """The names of the sockets that were passed to this process, in order."""
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    if "LISTEN_PID" not in environment:
        # Twisted takes the number and the process id away when it is imported, if they were for
        # this process, and leaves the names (twisted.python.systemd).
        return names
    if environment["LISTEN_PID"] != str(process_id):
        return []
    return names[: int(environment.get("LISTEN_FDS", "0"))]


def _adopted(descriptor: int) -> socket.socket:
    adopted = socket.socket(fileno=os.dup(descriptor))
    adopted.setblocking(False)
    return adopted


@dataclass(frozen=True)
class HostPort:
    """
    Where to dial: C{"host:443"}.

    @ivar host: lower-case ASCII name, or an address without brackets.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """
        Read an address as an administrator writes it.

        @raise ValueError: with what to write instead.
        """
        host, port = _host_and_port(text, 1)
        if not host:
            raise ValueError('name a host: "relay.example.com:443"')
        return cls(normalise_host(host), port)

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def is_literal_address(self) -> bool:
        """Whether the host is an address rather than a name."""
        return is_address(self.host)

    @property
    def connect_host(self) -> str:
        """
        What to resolve: C{localhost} and names below it are this machine (RFC 6761, section 6.3),
        which not every system resolver knows.
        """
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return "127.0.0.1"
        return self.host
