"""
Apache with mod_auth_openidc in front of C{ssh -R}: what one builds from a distribution's packages.

Apache terminates TLS, checks the session on every request and proxies to the port
that sshd holds open; ssh brings that to the origin.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.ports import free_ports
from bench.certificates import make_certificate
from bench.peers.prepare import APACHE_MODULES, find_program, prepare
from bench.peers.provider import CLIENT_ID, CLIENT_SECRET, Provider
from bench.peers.ssh import SshTunnel
from bench.peers.template import fill
from bench.peers.visitor import Visitor
from bench.processes import Process

HOST: Final = "app.apache.localhost"
SESSIONS: Final = 100

_ENTRIES_PER_SESSION: Final = 6
"""The session itself, and what a sign-in leaves in the cache for a while (nonce, state)."""

_SPARE_ENTRIES: Final = 50
"""The provider's metadata and keys."""


class ApacheSsh:
    """
    With C{ssh -tt}, which is the faster way to run it, and a hundred sessions.

    They are in Apache's shared memory (the module's default), which every request
    searches from its beginning: with more of them it would get slower.
    """

    name = "apache + ssh -tt"
    host = HOST
    terminal = True
    session_type = "server-cache"

    def __init__(self, folder: Path, origin_port: int, sessions: int = SESSIONS) -> None:
        """
        @param folder: for its configuration, certificates, keys and logs.
        @param sessions: how many to make.
        """
        self.cookies: Sequence[str] = ()
        self._folder = folder
        self._sessions = sessions
        self._tunnel = SshTunnel(folder / "ssh", origin_port, self.terminal)
        (self.port,) = free_ports(1)
        self._provider: Provider | None = None
        self._apache: Process | None = None

    def start(self) -> None:
        """Start the tunnel, then Apache, then sign in."""
        prepare()
        self._provider = Provider()
        self._provider.start()
        self._tunnel.start()
        configuration = self._configure(self._provider)
        command = (find_program("apache2"), "-D", "FOREGROUND", "-f", configuration)
        self._apache = Process("apache", command, self._folder)
        self._apache.wait_for_port(self.port)
        with Visitor(self.host, self.port) as visitor:
            self.cookies = tuple(visitor.sign_in() for _ in range(self._sessions))

    def stop(self) -> None:
        """Stop all, from the outside in."""
        if self._apache is not None:
            self._apache.stop()
            self._apache = None
        self._tunnel.stop()
        if self._provider is not None:
            self._provider.stop()
            self._provider = None

    def pids(self) -> Mapping[str, Sequence[int]]:
        """C{edge}: Apache and sshd; C{connector}: ssh."""
        if self._apache is None:
            return {}
        return {
            "edge": [*self._apache.pids, *self._tunnel.server_pids],
            "connector": self._tunnel.client_pids,
        }

    def _configure(self, provider: Provider) -> Path:
        certificate = make_certificate(self._folder / "tls", self.host)
        values: dict[str, object] = {
            "FOLDER": self._folder,
            "MODULES": APACHE_MODULES,
            # Root's Apache does not run as root.
            "USER": "User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            "HOST": self.host,
            "CLIENT_PORT": self.port,
            "TUNNEL_PORT": self._tunnel.port,
            "ISSUER": provider.issuer,
            "CLIENT_ID": CLIENT_ID,
            "CLIENT_SECRET": CLIENT_SECRET,
            "SEALING_SECRET": secrets.token_urlsafe(32),
            "SESSION_TYPE": self.session_type,
            "CACHE_ENTRIES": self._sessions * _ENTRIES_PER_SESSION + _SPARE_ENTRIES,
            "CHAIN": certificate.chain,
            "KEY": certificate.key,
        }
        return fill("apache/apache.conf", values, self._folder / "apache.conf")


class ApacheSshPlain(ApacheSsh):
    """With C{ssh -N}, as it is mostly run."""

    name = "apache + ssh -N"
    terminal = False
