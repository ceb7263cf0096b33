"""
The bar: two nginx, one after the other, which do the bare double hop. TLS in, TLS
between, plain HTTP to the origin; no sign-in, no sessions, no tunnel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.ports import free_ports
from bench.certificates import Certificate, make_certificate
from bench.nginx import start_nginx
from bench.processes import Process

HOST: Final = "app.nginx.localhost"
_BACK_NAME: Final = "back.nginx.localhost"

_PROXY: Final = """\
  access_log {log};
  ssl_certificate {chain};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:{name}:10m;
  proxy_http_version 1.1;
  proxy_max_temp_file_size 0;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto https;
{verify}
  upstream next {{ server 127.0.0.1:{next_port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=1024;
    location / {{ proxy_pass {scheme}://next; }}
    location /websocket {{
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header Host $host;
      proxy_pass {scheme}://next;
    }}
  }}
"""

_VERIFY: Final = """\
  proxy_ssl_protocols TLSv1.3;
  proxy_ssl_session_reuse on;
  proxy_ssl_server_name on;
  proxy_ssl_name {back_name};
  proxy_ssl_verify on;
  proxy_ssl_trusted_certificate {authority};
"""


class Nginx:
    """Both nginx with their access logs on, as ours is: the row that counts."""

    name = "nginx"
    access_log = True
    host = HOST
    cookies: Sequence[str] = ()

    def __init__(self, folder: Path, origin_port: int) -> None:
        self._folder = folder
        self._origin_port = origin_port
        self.port, self._back_port = free_ports(2)
        self._started: dict[str, Process] = {}

    def start(self) -> None:
        """Start the inner one, then the outer one."""
        certificate = make_certificate(self._folder / "tls", HOST, _BACK_NAME)
        verify = _VERIFY.format(back_name=_BACK_NAME, authority=certificate.authority)
        self._start("back", certificate, self._back_port, "http", self._origin_port, "")
        self._start("front", certificate, self.port, "https", self._back_port, verify)

    def stop(self) -> None:
        """Stop both."""
        for process in self._started.values():
            process.stop()
        self._started = {}

    def pids(self) -> Mapping[str, Sequence[int]]:
        """C{front} and C{back}: a master and a worker each."""
        return {role: self._started[role].pids for role in ("front", "back") if role in self._started}

    def _start(
        self, role: str, certificate: Certificate, port: int, scheme: str, next_port: int, verify: str
    ) -> None:
        content = _PROXY.format(
            name=role,
            log=self._folder / f"{role}.access.log" if self.access_log else "off",
            chain=certificate.chain,
            key=certificate.key,
            verify=verify,
            port=port,
            scheme=scheme,
            next_port=next_port,
        )
        self._started[role] = start_nginx(role, self._folder, content, port)


class NginxWithoutLog(Nginx):
    """The same without access logs."""

    name = "nginx, no log"
    access_log = False
