"""
A tunnel as C{ssh -R} makes it: an sshd that holds a port open, an ssh that dials it.

Whatever connects to the port arrives at the origin; one channel for each connection.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from appproxy.demo.ports import free_ports
from bench.peers.prepare import find_program
from bench.peers.template import fill
from bench.processes import BenchError, Process, run

_PRIVILEGE_SEPARATION: Final = Path("/run/sshd")
"""Root's sshd insists on this folder."""

_END_SECONDS: Final = 3.0

_OPTIONS: Final = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "ControlPath": "none",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",
}


class SshTunnel:
    """
    @ivar port: of 127.0.0.1, where sshd listens for what goes to the origin.
    """

    def __init__(self, folder: Path, origin_port: int, terminal: bool) -> None:
        """
        @param folder: for keys, configuration and logs.
        @param terminal: C{-tt} instead of C{-N}. For a session with a terminal ssh turns
            Nagle's algorithm off; without one, small packets wait for acknowledgements.
        """
        self._folder = folder
        self._origin_port = origin_port
        self._terminal = terminal
        self.port, self._sshd_port = free_ports(2)
        self._sshd: Process | None = None
        self._ssh: Process | None = None

    @property
    def server_pids(self) -> Sequence[int]:
        """sshd and its children."""
        return self._sshd.pids if self._sshd else ()

    @property
    def client_pids(self) -> Sequence[int]:
        """ssh."""
        return self._ssh.pids if self._ssh else ()

    def start(self) -> None:
        """Make keys, start sshd, dial it."""
        sshd, ssh, keygen = map(find_program, ("sshd", "ssh", "ssh-keygen"))
        self._folder.mkdir(parents=True, exist_ok=True)
        host_key, client_key = (self._make_key(keygen, name) for name in ("host_key", "client_key"))
        self._start_sshd(sshd, host_key, client_key)
        kind, key, *_ = host_key.with_suffix(".pub").read_text().split()
        known = self._folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self._sshd_port} {kind} {key}\n")
        options = {**_OPTIONS, "UserKnownHostsFile": f'"{known}"', "GlobalKnownHostsFile": "none"}
        command: list[str | Path] = [ssh, "-F", "none", "-i", client_key, "-p", str(self._sshd_port)]
        command += [f"-o{name}={value}" for name, value in options.items()]
        command += ["-R", f"127.0.0.1:{self.port}:127.0.0.1:{self._origin_port}"]
        command += ["-tt"] if self._terminal else ["-N"]
        command += [f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1"]
        command += ["sleep infinity"] if self._terminal else []
        self._ssh = Process("ssh", command, self._folder)
        self._ssh.wait_for_port(self.port)

    def stop(self) -> None:
        """Hang up, then stop sshd, when its child for the connection has ended with that."""
        if self._ssh is not None:
            self._ssh.stop()
        if self._sshd is not None:
            with suppress(BenchError):
                self._sshd.wait_until(lambda: len(self.server_pids) <= 1, "saw its child end", _END_SECONDS)
            self._sshd.stop()
        self._ssh = self._sshd = None

    def _make_key(self, keygen: Path, name: str) -> Path:
        key = self._folder / name
        for old in (key, key.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        run((keygen, "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key))
        return key

    def _start_sshd(self, sshd: Path, host_key: Path, client_key: Path) -> None:
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        values = {
            "FOLDER": self._folder,
            "SSHD_PORT": self._sshd_port,
            "TUNNEL_PORT": self.port,
            "HOST_KEY": host_key,
            "CLIENT_KEY": client_key,
        }
        configuration = fill("apache/sshd_config", values, self._folder / "sshd_config")
        self._sshd = Process("sshd", (sshd, "-D", "-e", "-f", configuration), self._folder)
        self._sshd.wait_for_port(self._sshd_port)
