"""
Real web applications that know nothing of the proxy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.ports import free_port
from tests.integration.support.processes import Running

PYTHON: Final = sys.executable


class Radicale:
    """
    A CalDAV server that takes the user's name from a header.

    @ivar process: it, for whoever watches and ends it.
    @ivar internal_url: where it listens.
    @ivar user_header: the header that it believes.
    """

    user_header = "X-Remote-User"

    def __init__(self, folder: Path) -> None:
        """Start it and wait until it answers."""
        self.port = free_port()
        self.internal_url = f"http://127.0.0.1:{self.port}/"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "radicale.ini"
        config.write_text(
            f"[server]\nhosts = 127.0.0.1:{self.port}\n"
            "[auth]\ntype = http_x_remote_user\n"
            f"[storage]\nfilesystem_folder = {folder / 'collections'}\n"
            "[web]\ntype = none\n"
        )
        self.process = Running("radicale", (PYTHON, "-m", "radicale", "--config", config), folder)
        self.process.wait_for_port(self.port)


class Jupyter:
    """
    Jupyter Server with a Python kernel.

    @ivar process: it, for whoever watches and ends it.
    @ivar internal_url: where it listens.
    @ivar token: what it asks for, besides anything that the proxy asks for.
    """

    token = "a-token-of-the-tests"

    def __init__(self, folder: Path, external_origins: Sequence[str]) -> None:
        """
        Start it and wait until it answers.

        @param external_origins: the origins that browsers see it at; it checks those of WebSockets.
        """
        self.port = free_port()
        self.internal_url = f"http://127.0.0.1:{self.port}/"
        folder.mkdir(parents=True, exist_ok=True)
        origins = "|".join(origin.replace(".", r"\.") for origin in external_origins)
        home = {"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME"}
        environment = {name: str(folder / name.lower()) for name in home}
        command = (
            *(PYTHON, "-m", "jupyter_server", "--no-browser", "--allow-root"),
            f"--ServerApp.root_dir={folder}",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.allow_origin_pat={origins}",
            f"--IdentityProvider.token={self.token}",
        )
        self.process = Running("jupyter", command, folder, environment)
        self.process.wait_for_port(self.port)
