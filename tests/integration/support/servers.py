"""
Web servers that tell what they understood of a request, each with a parser of its own.

Each of them has a private part, C{/private} and all below it, as the server itself
understands paths, and takes whatever it can be made to take.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appproxy.demo.ports import free_port
from tests.integration.support.attacker import HostileBackend
from tests.integration.support.case import ROOT
from tests.integration.support.processes import Running

TOLD: Final = b"X-Told"
"""A header of nginx's answer: what it understood itself."""


@dataclass(frozen=True)
class Understood:
    """
    A request as a server understood it.

    @ivar target: the bytes of the request line.
    @ivar path: that the server takes it for, decoded.
    @ivar private: whether the server was in its private part.
    @ivar variables: headers as in CGI, without C{HTTP_}; all values of one name.
    """

    target: bytes
    path: bytes
    private: bool
    variables: dict[str, list[bytes]]


def _variable(name: str) -> str:
    return "".join(each if each.isalnum() else "_" for each in name.upper())


def _variables(pairs: Sequence[tuple[str, str]]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for name, value in pairs:
        found.setdefault(_variable(name), []).append(value.encode("latin-1"))
    return found


class Server:
    """
    One of them.

    @cvar command: that has to be installed; empty if Python brings it.
    @ivar process: it, for whoever watches and ends it.
    @ivar internal_url: where it listens.
    """

    command = ""
    process: Running

    @classmethod
    def is_installed(cls) -> bool:
        """Whether it can be started."""
        return not cls.command or shutil.which(cls.command) is not None

    def __init__(self, folder: Path) -> None:
        """Start it and wait until it answers."""
        self.port = free_port()
        self.internal_url = f"http://127.0.0.1:{self.port}/"
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.start()
        self.process.wait_for_port(self.port)

    def start(self) -> None:
        """Set L{process}."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it, and what it needs."""
        self.process.stop()

    def understood(self, body: bytes, told: Sequence[bytes]) -> Understood:
        """
        What an answer says.

        @param told: the values of the header L{TOLD}.
        """
        said: dict[str, Any] = json.loads(body)
        return Understood(
            said["target"].encode("latin-1"),
            said["path"].encode("latin-1"),
            said["private"],
            _variables(said["headers"]),
        )


class Nginx(Server):
    """nginx before an application that shows the headers that nginx let through."""

    command = "nginx"

    def start(self) -> None:
        """Every header passes, also those with underscores; slashes are merged, as they are by default."""
        self._behind = HostileBackend()
        passed = f"proxy_pass http://127.0.0.1:{self._behind.port};"
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off; pid {self.folder}/nginx.pid; error_log stderr; worker_processes 1;\n"
            + ("user root;\n" if os.geteuid() == 0 else "")
            + "events {}\nhttp { access_log off;\n"
            + "".join(
                f"{kind}_temp_path {self.folder}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"\nserver {{ listen 127.0.0.1:{self.port};\n"
            "underscores_in_headers on; ignore_invalid_headers off;\n"
            f'location ~ ^/private(/|$) {{ add_header X-Told "private <$uri>" always; {passed} }}\n'
            f'location / {{ add_header X-Told "open <$uri>" always; {passed} }}\n'
            "} }\n"
        )
        self.process = Running("nginx", ("nginx", "-c", config, "-e", "stderr"), self.folder)

    def stop(self) -> None:
        """End both."""
        super().stop()
        self._behind.stop()

    def understood(self, body: bytes, told: Sequence[bytes]) -> Understood:
        """Headers come from the application behind, the rest from nginx."""
        said = json.loads(body)
        (line,) = told
        where, _, path = line.partition(b" ")
        return Understood(
            said["line"].encode("latin-1").split(b" ")[1],
            path[1:-1],
            where == b"private",
            _variables(said["headers"]),
        )


class Apache(Server):
    """Apache with a CGI program."""

    command = "apache2"
    modules = ("mpm_prefork", "authz_core", "alias", "cgi", "env")
    libraries = Path("/usr/lib/apache2/modules")

    def start(self) -> None:
        """As lenient as it can be; under root its children are others, who have to find the program."""
        self._program = Path(tempfile.mkdtemp(prefix="appproxy-test-"))
        self._program.chmod(0o755)
        script = self._program / "tell"
        script.write_text(
            "#!/bin/sh\nprintf 'Content-Type: application/octet-stream\\r\\n\\r\\n'\nexec env -0\n"
        )
        script.chmod(0o755)
        config = self.folder / "apache.conf"
        loaded = "".join(
            f"LoadModule {each}_module {self.libraries}/mod_{each}.so\n" for each in self.modules
        )
        config.write_text(
            f"ServerRoot {self.folder}\nServerName localhost\n{loaded}"
            f"Listen 127.0.0.1:{self.port}\nPidFile {self.folder}/apache.pid\n"
            + ("User www-data\nGroup www-data\n" if os.geteuid() == 0 else "")
            + f"DefaultRuntimeDir {self.folder}\nErrorLog /dev/stderr\nStartServers 2\n"
            "AllowEncodedSlashes On\nHttpProtocolOptions Unsafe LenientMethods Allow0.9\n"
            f'ScriptAlias "/" "{script}/"\n'
            '<Location "/private">\nSetEnv WHERE private\n</Location>\n'
        )
        self.process = Running("apache", ("apache2", "-f", config, "-DFOREGROUND"), self.folder)

    def stop(self) -> None:
        """Take the program away, too."""
        super().stop()
        shutil.rmtree(self._program)

    def understood(self, body: bytes, told: Sequence[bytes]) -> Understood:
        """A CGI program's environment: values of one name stand in one variable."""
        pairs = (each.partition(b"=") for each in body.split(b"\0") if each)
        environment = {name.decode("latin-1"): value for name, _, value in pairs}
        return Understood(
            environment["REQUEST_URI"],
            environment.get("PATH_INFO", b""),
            environment.get("WHERE") == b"private",
            {
                name.removeprefix("HTTP_"): [value]
                for name, value in environment.items()
                if name.startswith("HTTP_")
            },
        )


def wsgi(environment: dict[str, Any], start_response: Any) -> list[bytes]:
    """The application that gunicorn runs."""
    path = environment["PATH_INFO"]
    headers = [
        (name.removeprefix("HTTP_"), value) for name, value in environment.items() if name.startswith("HTTP_")
    ]
    told = {
        "target": environment["RAW_URI"],
        "path": path,
        "private": path == "/private" or path.startswith("/private/"),
        "headers": headers,
    }
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class Gunicorn(Server):
    """gunicorn with a WSGI application."""

    def start(self) -> None:
        """Names with underscores are no others than those with hyphens."""
        command = (
            *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--threads", "4"),
            *("--header-map", "dangerous", "--keep-alive", "30", "--worker-tmp-dir", self.folder),
            "tests.integration.support.servers:wsgi",
        )
        self.process = Running("gunicorn", command, self.folder, {"PYTHONPATH": str(ROOT)})


NODE: Final = """
const http = require("http");
function tell(request, response) {
  const path = decodeURIComponent(new URL("http://x" + request.url).pathname);
  const raw = request.rawHeaders, headers = [];
  for (let i = 0; i < raw.length; i += 2) headers.push([raw[i], raw[i + 1]]);
  const told = {
    target: request.url,
    path: Buffer.from(path, "utf8").toString("latin1"),
    private: path === "/private" || path.startsWith("/private/"),
    headers: headers,
  };
  response.end(JSON.stringify(told));
}
const server = http.createServer({ insecureHTTPParser: true, keepAliveTimeout: 30000 }, tell);
server.listen(Number(process.argv[2]), "127.0.0.1");
"""


class Node(Server):
    """node's server, with the paths of its URL class."""

    command = "node"

    def start(self) -> None:
        """Its lenient parser."""
        script = self.folder / "server.js"
        script.write_text(NODE)
        self.process = Running("node", ("node", script, str(self.port)), self.folder)
