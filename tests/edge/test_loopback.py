"""
The ends of client connections on real sockets: what the kernel and TLS make of
them cannot be seen in memory.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from threading import Thread
from time import sleep
from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from appproxy.edge.line import GONE_SECONDS
from appproxy.transport.addresses import ListenAddress
from appproxy.transport.contexts import server_context
from appproxy.transport.listener import listen, listen_plain
from appproxy.transport.peeking import Route
from tests.contract.rig import DOMAIN, OPEN_TO_ALL, Rig, application
from tests.contract.support import Head, request

WIKI = f"wiki.{DOMAIN}"
CA = trustme.CA()
CERTIFICATE = CA.issue_cert(WIKI)
CONTEXT = server_context(
    b"".join(pem.bytes() for pem in CERTIFICATE.cert_chain_pems),
    CERTIFICATE.private_key_pem.bytes(),
    alpn=(b"http/1.1",),
)
MEGABYTE = 1_000_000


class LoopbackTests(TestCase):
    """The rig's edge behind a real port, with and without TLS."""

    timeout = 30

    async def setUp(self) -> None:  # type: ignore[override]
        applications = {
            "wiki": application("wiki", **OPEN_TO_ALL),
            "old": application("old", external_url=f"http://old.{DOMAIN}/", **OPEN_TO_ALL),
        }
        self.rig = Rig("channel", applications)
        self.addCleanup(self.rig.stop)
        real: Any = reactor
        address = ListenAddress.parse("127.0.0.1:0")
        secure = await listen(
            real,
            address,
            lambda hello, _peer: Route(
                CONTEXT, lambda hello: self.rig.web.secure_channel("127.0.0.1", hello.server_name)
            ),
            real,
        )
        plain = await listen_plain(real, address, lambda _peer: self.rig.web.plain_channel("127.0.0.1"))
        hosts: list[Any] = [ports[0].getHost() for ports in (secure, plain)]
        self.secure_port, self.plain_port = (host.port for host in hosts)
        for port in (*secure, *plain):
            self.addCleanup(port.stopListening)
        moving = LoopingCall(self.rig.network.run)
        moving.start(0.005)
        self.addCleanup(moving.stop)

    async def tearDown(self) -> None:  # type: ignore[override]
        self.rig.web.cut_all()
        while self.rig.web.connections:
            await self.moment()

    def moment(self) -> Deferred[None]:
        """A turn or some of the reactor."""
        done: Deferred[None] = Deferred()
        real: Any = reactor
        real.callLater(0.01, done.callback, None)
        return done

    def connect(self, tls: bool) -> socket.socket:
        """A client's socket; blocking, for a thread."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        raw.settimeout(20)
        raw.connect(("127.0.0.1", self.secure_port if tls else self.plain_port))
        if not tls:
            return raw
        context = ssl.create_default_context()
        CA.configure_trust(context)
        return context.wrap_socket(raw, server_hostname=WIKI, suppress_ragged_eofs=False)

    async def exchange(
        self, tls: bool, client: Callable[[socket.socket], Any], *answers: bytes, cut: bool = False
    ) -> Any:
        """Run a client in a thread while the backend answers it."""
        result = deferToThread(lambda: client(self.connect(tls)))
        while not self.rig.backends or not self.rig.backend.received:
            await self.moment()
        for answer in answers:
            self.rig.backend.transport.write(answer)
            await self.moment()
        if cut:
            self.rig.backend.transport.abortConnection()
        return await result

    async def test_close_notify(self) -> None:
        """The end of a TLS connection is an end, not a break; so a body may end with it."""
        backend_says = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        answer = await self.exchange(True, ask_by_1_0, backend_says, b"0\r\n\r\n")
        self.assertEqual(Head(answer).rest, b"abc")

    async def test_break(self) -> None:
        """A body that should end with the connection and is broken off ends with an error."""
        backend_says = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        try:
            answer = await self.exchange(True, ask_by_1_0, backend_says, cut=True)
        except OSError:
            return
        self.fail(answer)

    async def test_leaves_unread(self) -> None:
        """
        Who leaves while nothing more is read is missed all the same: what was asked for is given up, and the
        backend with it.
        """
        for tls in (False, True):
            host = (WIKI if tls else f"old.{DOMAIN}").encode()
            client = await deferToThread(self.connect, tls)
            # Bytes of a second request wait until the first one is answered.
            await deferToThread(client.sendall, request(host=host) + b"GET /2")
            while not self.rig.backends:
                await self.moment()
            client.close()
            while self.rig.open_streams():
                self.rig.clock.advance(GONE_SECONDS)
                await self.moment()
            self.assertEqual(self.rig.finished[-1].reason, "client_gone", tls)
            self.rig.behind.dialled.clear()

    async def test_long_answer(self) -> None:
        """The end of the connection waits until a slow client has read everything."""

        def client(connection: socket.socket) -> bytes:
            connection.sendall(request(b"GET / HTTP/1.1", b"Connection: close"))
            connection.recv(1)
            sleep(0.5)
            return b"H" + read_all(connection)

        size = 8 * MEGABYTE
        backend_says = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        answer = await self.exchange(True, client, backend_says + b"x" * size)
        self.assertEqual(len(Head(answer).rest), size)

    async def test_last_answer_arrives(self) -> None:
        """An answer before the end of a long upload is not destroyed by the end of the connection."""

        def client(connection: socket.socket) -> bytes:
            host = WIKI if isinstance(connection, ssl.SSLSocket) else f"old.{DOMAIN}"
            connection.sendall(
                request(
                    b"PUT / HTTP/1.1",
                    b"Content-Length: %d" % (20 * MEGABYTE),
                    b"Connection: close",
                    host=host.encode(),
                    body=b"x" * 100_000,
                )
            )
            sending = Thread(target=send_until_refused, args=(connection, 20 * MEGABYTE))
            if not isinstance(connection, ssl.SSLSocket):
                sending.start()
            # By now all of the answer is in the kernels' buffers, and most of it on the edge's side.
            sleep(0.5)
            with connection:
                answer = read_to_end(connection)
                if sending.ident is not None:
                    # Wakes the other thread; closing would not.
                    connection.shutdown(socket.SHUT_RDWR)
                    sending.join()
            return answer

        for tls in (False, True):
            answer = await self.exchange(
                tls,
                client,
                b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n" % MEGABYTE + b"y" * MEGABYTE,
            )
            head = Head(answer)
            self.assertEqual((head.status, len(head.rest)), (413, MEGABYTE))
            self.rig.behind.dialled.clear()


def ask_by_1_0(connection: socket.socket) -> bytes:
    """Ask, and read to the end."""
    connection.sendall(request(b"GET / HTTP/1.0"))
    return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Until the orderly end, then close; raises L{OSError} at any other end."""
    with connection:
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """Until the orderly end."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def send_until_refused(connection: socket.socket, size: int) -> None:
    """As a client does that looks at the answer only later."""
    try:
        connection.sendall(b"x" * size)
    except OSError:
        pass
