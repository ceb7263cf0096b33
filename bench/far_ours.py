"""
Edge and connector with a line between them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from appproxy.pki.identity import load
from bench.certificates import Certificate
from bench.clients import module
from bench.ours import Daemon, Ours
from bench.processes import BenchError
from bench.requests import Target, connect
from bench.toml import Settings

_SESSIONS: Final = 10
_TUNNEL_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.2


class FarOurs(Ours):
    """
    The connector dials the edge over a line; clients are beside the edge, the application is not.
    """

    def __init__(self, folder: Path, origin_port: int, port: int, listen: str, dial: str) -> None:
        """
        @param port: of the edge.
        @param listen: the edge's address at the end of the line.
        @param dial: C{host:port} that the connector dials: the other end.
        """
        super().__init__(folder, origin_port, sessions=_SESSIONS)
        self.port = port
        self._listen = listen
        self._dial = dial
        self._how = ""
        self._settings: Settings = {}

    def start(self) -> None:
        """Start both, and wait for the tunnel over the line."""
        super().start()
        self._wait_for_tunnel()

    def use(self, how: str) -> None:
        """
        Start the connector anew: it sends the bulk of a download.

        @param how: a name of L{bench.unfair.WAYS}; empty for the product as it is.
        """
        self._how = how
        self._started.pop("connector").stop()
        self._settings["log"]["file"].unlink()
        self._start_daemon("connector", self._settings)
        self._wait_for_tunnel()

    def target(self, size: str) -> Target:
        """
        What a client asks for.

        @param size: a key of L{bench.origin.SIZES}.
        """
        return Target(self.port, self.host, f"/{size}/file", self.cookies[0])

    def _edge_settings(self, certificate: Certificate) -> dict[str, Any]:
        listen = dict.fromkeys((f"127.0.0.1:{self.port}", f"{self._listen}:{self.port}"))
        return {**super()._edge_settings(certificate), "listen": {"https": list(listen), "http": []}}

    def _start_daemon(self, daemon: Daemon, settings: Settings) -> None:
        if daemon == "connector":
            # The join token names the edge itself, and enrolling over the line would prove nothing.
            load(settings["identity"]).with_addresses([self._dial])
            self._settings = settings
        super()._start_daemon(daemon, settings)

    def _command(self, daemon: Daemon, config: Path) -> Sequence[str | Path]:
        command = super()._command(daemon, config)
        if daemon == "connector" and self._how:
            return (*module("bench.unfair"), self._how, *command)
        return command

    def _wait_for_tunnel(self) -> None:
        deadline = time.monotonic() + _TUNNEL_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise BenchError("the connector has no tunnel over the line")
            time.sleep(_POLL_SECONDS)

    def _answers(self) -> bool:
        """Whether the application's answer comes through."""
        target = self.target("1k")
        try:
            with connect(target) as connection:
                connection.sendall(target.request())
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
