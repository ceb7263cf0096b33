"""
The application behind every system: an nginx that answers with files of three sizes.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.ports import free_ports
from bench.nginx import start_nginx
from bench.processes import Process
from bench.scratch import scratch

KIB: Final = 1 << 10
GIB: Final = 1 << 30
SIZES: Final[Mapping[str, int]] = {"1k": KIB, "64k": 64 * KIB, "1g": GIB}
"""Bytes of an answer, by the first part of the path: C{/1k/anything?at=all}."""

_PIECE: Final = 1 << 20
_CONTENT: Final = """\
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=100;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    root {files};
    location = /status {{ stub_status; }}
    location /1k/ {{ try_files /1k =500; }}
    location /64k/ {{ try_files /64k =500; }}
    location /1g/ {{ try_files /1g =500; }}
  }}
"""


class Origin:
    """
    @ivar port: where it speaks plain HTTP, on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        """
        @param folder: for its configuration and log; the files that it serves are in memory if there is room.
        """
        self._folder = folder
        self._files: Path | None = None
        self._process: Process | None = None
        (self.port,) = free_ports(1)

    def start(self) -> None:
        """Make the files and serve them."""
        self._files = scratch(sum(SIZES.values()))
        for name, size in SIZES.items():
            _write(self._files / name, size)
        content = _CONTENT.format(port=self.port, files=self._files)
        self._process = start_nginx("origin", self._folder, content, self.port)

    def stop(self) -> None:
        """Stop serving, remove the files."""
        if self._process is not None:
            self._process.stop()
        if self._files is not None:
            shutil.rmtree(self._files, ignore_errors=True)

    def pids(self) -> Sequence[int]:
        """Its processes."""
        return self._process.pids if self._process is not None else []

    def requests(self) -> int:
        """
        How many requests it has been asked so far, this one included.

        An answer that came from anybody else, such as a redirect to a sign-in page, is not among them.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=10) as answer:
            found = re.search(r"^ *\d+ +\d+ +(\d+)", answer.read().decode(), re.MULTILINE)
        assert found is not None, "nginx's stub_status has another form"
        return int(found[1])


def _write(path: Path, size: int) -> None:
    """Random bytes; larger files repeat the first MiB."""
    piece = os.urandom(min(size, _PIECE))
    with path.open("wb") as file:
        for _ in range(max(1, size // _PIECE)):
            file.write(piece)
    path.chmod(0o644)
