"""
An nginx of one worker, from a configuration: what origin and peer have in common.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Final

from bench.processes import Process

_FRAME: Final = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error.log;
events {{ worker_connections 4096; }}
http {{
  {temporary}
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  default_type application/octet-stream;
{content}
}}
"""

_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""Folders that nginx makes at its start, whether it needs them or not."""


def start_nginx(name: str, folder: Path, content: str, port: int) -> Process:
    """
    Start an nginx and wait until it listens.

    @param folder: for its files.
    @param content: what stands inside of C{http { }}, and listens on this port.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / f"{name}.conf"
    configuration.write_text(
        _FRAME.format(
            user=_user(),
            folder=folder,
            name=name,
            temporary=" ".join(f"{each}_temp_path {folder}/{name}.{each};" for each in _TEMPORARY),
            content=content,
        )
    )
    process = Process(name, ("nginx", "-e", folder / f"{name}.error.log", "-c", configuration), folder)
    process.wait_for_port(port)
    return process


def _user() -> str:
    """Root's workers would become somebody who cannot enter the folder."""
    if os.geteuid() != 0:
        return ""
    user = pwd.getpwuid(os.geteuid())
    return f"user {user.pw_name} {grp.getgrgid(user.pw_gid).gr_name};"
