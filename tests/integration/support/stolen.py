"""
What attacks on tunnels need: connections to the connect host, a relay and a connector in an attacker's
hands.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from appproxy.catalog.group_document import write_group
from appproxy.httpwire.heads import NO_BODY
from appproxy.model.application import Backend
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from tests.corpus.cases import TunnelAnswerCase
from tests.integration.support.attacked import AttackTestCase
from tests.integration.support.attacker import SECONDS, Wire
from tests.tunnel.support import TURN, Recorder, RecordingListener, request, stream_of

TUNNEL: Final = "appproxy-tunnel/1"
ENROLL: Final = "appproxy-enroll/1"


class MachineTestCase(AttackTestCase):
    """An attacker that speaks to the connect host."""

    def machine(self, alpn: str, certificate: Path | None = None) -> Wire:
        """A connection as connectors and newcomers make it."""
        return self.wire("connect", alpn=(alpn,), certificate=certificate, verify=False)

    def token(self, *more: str, kind: str = "connector") -> str:
        """A new join token."""
        group = ("--group", "hq") if kind == "connector" else ()
        token: str = self.site.appproxy_json(kind, "token", *group, *more)["token"]
        return token

    def enrolled(self, name: str, kind: str = "connector") -> Path:
        """Key and chain of a holder that was enrolled, in one file."""
        identity = self.enrol(name, self.token("--name", name, kind=kind), kind)
        return self.file(
            name, (identity / "key.pem").read_bytes() + (identity / "certificate.pem").read_bytes()
        )

    def file(self, name: str, content: bytes) -> Path:
        """A file of this test."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(content)
        return path


class _AppliesAll(RecordingListener):
    """Says of every catalog that it is in use."""

    session: TunnelSession

    def config(self, revision: int, payload: bytes) -> None:
        """Note it, and say so."""
        super().config(revision, payload)
        self.session.send_applied(revision)


class StolenConnector:
    """
    A connector in an attacker's hands: its certificate is good, and it answers what it likes.

    @ivar listener: what the edge said.
    """

    def __init__(self, tunnel: Wire) -> None:
        """
        Say HELLO, and wait for the catalog.

        @param tunnel: a connection to the connect host, with the connector's certificate.
        """
        self._tunnel = tunnel.socket
        self.listener = _AppliesAll()
        self.session = TunnelSession("acceptor", TunnelSettings(), self.listener, lambda: None)
        self.listener.session = self.session
        self.until(lambda: any(call[0] == "config" for call in self.listener.calls))

    def until(self, done: Callable[[], bool]) -> None:
        """
        Talk until something has happened.

        @raise AssertionError: if the edge hangs up.
        """
        _talk(self.session, self._tunnel, done, "the edge")

    def answer(self, case: TunnelAnswerCase) -> None:
        """Wait for the next request, and answer it."""
        before = len(self.listener.served)
        self.until(lambda: len(self.listener.served) > before)
        stream = stream_of(self.listener.served[before])
        if case.head or case.ends == "end":
            stream.head(case.head)
        if case.data:
            stream.write(case.data)
        if case.ends == "end":
            stream.end()
        elif case.ends == "reset":
            # Before that the edge has what came before: a reset overtakes.
            self.until(lambda: not self.session.pending_output)
            stream.reset("backend_protocol")
        elif case.ends == "second_head":
            stream.head(case.head)
        self.until(lambda: not self.session.pending_output)
        if case.ends == "hang_up":
            self.hang_up()

    def hang_up(self) -> None:
        """Be gone, all at once; L{Wire} holds the socket open."""
        socket.socket.shutdown(self._tunnel, socket.SHUT_RDWR)


def _talk(session: TunnelSession, tunnel: ssl.SSLSocket, done: Callable[[], bool], peer: str) -> None:
    while True:
        while output := session.take_output(TURN):
            tunnel.sendall(b"".join(output))
        if done():
            return
        data = tunnel.recv(1 << 16)
        assert data, f"{peer} hung up"
        session.receive(data)


class Answered(Recorder):
    """What a stolen relay is answered."""

    def times(self, payload: bytes) -> None:
        """How long it took tells nothing."""


class StolenRelay:
    """
    A relay in an attacker's hands: its certificate is good, and it says what it likes.

    @ivar listener: what the connector said.
    @ivar revision: of the catalog that it tells.
    """

    def __init__(self, identity: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity / "certificate.pem", identity / "key.pem")
        context.load_verify_locations(identity / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols([TUNNEL])
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(SECONDS)
        self.port: int = self._listening.getsockname()[1]
        self.listener = RecordingListener()
        self.session = TunnelSession("opener", TunnelSettings(), self.listener, lambda: None)
        self.revision = 0
        self._tunnel: ssl.SSLSocket | None = None

    def accept(self) -> None:
        """Wait for the connector."""
        plain, _ = self._listening.accept()
        self._tunnel = self._context.wrap_socket(plain, server_side=True)
        self._tunnel.settimeout(SECONDS)
        self.until(lambda: self.session.peer_hello is not None)

    def until(self, done: Callable[[], bool]) -> None:
        """
        Talk until something has happened.

        @raise AssertionError: if the connector hangs up.
        """
        assert self._tunnel is not None
        _talk(self.session, self._tunnel, done, "the connector")

    def serve(self, backends: list[Backend]) -> None:
        """Tell the connector what its group serves."""
        self.session.send_config(self.revision, write_group(backends))
        self.until(lambda: ("applied", self.revision) in self.listener.calls)

    def ask(
        self, application: str, head: bytes, number: int = 0, claims: bytes = b"", body: int = NO_BODY
    ) -> Answered:
        """Open a stream, and wait for its end."""
        recorder = Answered()
        message = request(head, body, number=number, claims=claims, application=application)
        stream = self.session.open(replace(message, revision=self.revision), recorder)
        if body != NO_BODY:
            stream.end()
        self.until_over(recorder)
        return recorder

    def begin(self, application: str, head: bytes, body: int, data: bytes) -> Answered:
        """
        Begin a request.

        @param body: as long as it is said to be.
        """
        recorder = Answered()
        message = request(head, body, application=application)
        recorder.stream = self.session.open(replace(message, revision=self.revision), recorder)
        recorder.stream.write(data)
        self.flush()
        return recorder

    def flush(self) -> None:
        """Send what there is to send."""
        self.until(lambda: not self.session.pending_output)

    def until_over(self, recorder: Answered) -> None:
        """Wait for the end of a request."""
        self.until(lambda: bool(recorder.calls) and recorder.calls[-1][0] in ("reset", "ended"))

    def close(self) -> None:
        """Hang up."""
        for each in (self._tunnel, self._listening):
            if each is not None:
                each.close()
