"""
A connector's end of a tunnel with an edge's session in front of it and backends
behind it, all in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from appproxy.catalog.group_document import write_group
from appproxy.connector.allow_list import AllowList
from appproxy.connector.backend_connection import BackendConnection
from appproxy.connector.pool import Pool
from appproxy.connector.served import CatalogCopy
from appproxy.connector.trails import Trails
from appproxy.connector.tunnel_end import TunnelEnd
from appproxy.httpwire.block import blocks_of, fields_of
from appproxy.httpwire.field import Fields, Pair, fields
from appproxy.httpwire.heads import NO_BODY
from appproxy.httpwire.wire_heads import pack_request, unpack_response
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from appproxy.sso.modes import SignOns
from appproxy.transport.wheel import TimerWheel
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.principals import digest_of
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream
from tests.tunnel.support import TRANSACTION, TURN, Recorder, RecordingListener

REVISION = 7
ADA = Principal(
    "https://idp.example", "ada", "0" * 32, user_principal_name="ada@example.com", groups=frozenset({"HR"})
)
EVE = Principal(
    "https://idp.example", "eve", "1" * 32, user_principal_name="eve@example.com", groups=frozenset({"IT"})
)


def backend(
    application: str = "wiki",
    *,
    internal: str = "http://wiki.corp.example/",
    external: str = "https://wiki.apps.example.com/",
    passthrough: bool = True,
    sso: dict[str, Any] | None = None,
    timeout: str = "85s",
    upgrades: Iterable[str] = ("websocket",),
) -> Backend:
    """One application as a relay tells it."""
    return Backend.model_validate(
        {
            "id": application,
            "external_url": external,
            "internal_url": internal,
            "pre_authentication": "passthrough" if passthrough else "sign_in",
            "sso": sso or {"mode": "none"},
            "backend_timeout": timeout,
            "translate_host_header": True,
            "verify_backend_certificate": True,
            "upgrades": list(upgrades),
        }
    )


class FakeTransport:
    """
    A transport whose other end is the test.

    Closing takes effect with L{lose}, as on a real one it does in a later turn.
    """

    disconnecting = False

    def __init__(self) -> None:
        self.written = b""
        self.protocol: BackendConnection | None = None
        self.producer: Any = None
        self.paused = False
        self.aborted = False
        self.closing = False
        self.gone = False

    def write(self, data: bytes) -> None:
        """Keep what the connector sends."""
        self.written += data

    def take(self) -> bytes:
        """What was sent since the last look."""
        taken, self.written = self.written, b""
        return taken

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.aborted = True

    @property
    def over(self) -> bool:
        """Whether the connector has given the connection up."""
        return self.aborted or self.closing or self.gone

    def say(self, data: bytes) -> None:
        """The backend sends something."""
        assert self.protocol is not None
        self.protocol.dataReceived(data)

    def lose(self, clean: bool = True) -> None:
        """The connection ends."""
        assert self.protocol is not None
        self.gone = True
        self.protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))


def connected(closed: Any = lambda _connection: None) -> tuple[BackendConnection, FakeTransport]:
    """A backend connection on a transport of its own."""
    connection = BackendConnection(closed)
    transport = FakeTransport()
    transport.protocol = connection
    connection.makeConnection(transport)
    return connection, transport


class Backends:
    """
    What pools dial: connects at once unless told to wait.

    @ivar transports: every connection, in order.
    @ivar waiting: dials that are not answered yet, if C{hold} is set.
    @ivar before: called before each dial.
    """

    def __init__(self, clock: Clock, wheel: TimerWheel) -> None:
        self._clock = clock
        self._wheel = wheel
        self.transports: list[FakeTransport] = []
        self.waiting: list[tuple[Deferred[BackendConnection], Any]] = []
        self.cancelled = 0
        self.hold = False
        self.before: Callable[[], object] = str
        self.maximum_idle = 64
        self.pools: list[Pool] = []

    def pool(self, _backend: Backend) -> Pool:
        """A pool for one application."""
        pool = Pool(self._dial, self._wheel, self._clock.seconds, self.maximum_idle, 60.0)
        self.pools.append(pool)
        return pool

    def _dial(self, closed: Any) -> Deferred[BackendConnection]:
        self.before()
        dialled: Deferred[BackendConnection] = Deferred(self._cancel)
        if self.hold:
            self.waiting.append((dialled, closed))
        else:
            self._connect(dialled, closed)
        return dialled

    def _cancel(self, dialled: Deferred[BackendConnection]) -> None:
        self.cancelled += 1
        self.waiting = [each for each in self.waiting if each[0] is not dialled]

    def _connect(self, dialled: Deferred[BackendConnection], closed: Any) -> None:
        connection, transport = connected(closed)
        self.transports.append(transport)
        dialled.callback(connection)

    def answer(self) -> None:
        """Let the dial that waits longest succeed."""
        self._connect(*self.waiting.pop(0))

    def refuse(self, error: Exception) -> None:
        """Let the dial that waits longest fail."""
        self.waiting.pop(0)[0].errback(error)


class Owner:
    """A tunnel's owner that writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def tunnel_up(self, end: TunnelEnd) -> None:
        """Note it."""
        self.calls.append(("up",))

    def tunnel_leaving(self, end: TunnelEnd) -> None:
        """Note it."""
        self.calls.append(("leaving",))

    def tunnel_refused(self, end: TunnelEnd, reason: str) -> None:
        """Note it."""
        self.calls.append(("refused", reason))

    def renewed(self, certificate_pem: str) -> None:
        """Note it."""
        self.calls.append(("renewed", certificate_pem))

    def told_roots(self, roots: object) -> None:
        """Note what was said, if it was."""
        if roots is not None:
            self.calls.append(("roots", roots))


class Edge:
    """
    An edge's session, joined with a connector's end.

    @ivar session: the edge's.
    @ivar end: the connector's end of the tunnel.
    @ivar before_sending: called when that has something to send.
    """

    def __init__(
        self, backends: Iterable[Backend] | None = (), sign_ons: SignOns | None = None, **settings: Any
    ) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.backends = Backends(self.clock, self.wheel)
        self.owner = Owner()
        self.served: list[str] = []
        allow_list = AllowList.parse(["*.corp.example", "10.0.0.0/8:80"], ["10.0.0.0/8"])
        self.catalog = CatalogCopy(allow_list, sign_ons or SignOns(["none", "headers"]), self.backends.pool)
        self.end = TunnelEnd(
            "edge:443",
            self.catalog,
            self.wheel,
            self.owner,
            self.served.append,
            Trails(self.clock.seconds),
            DeferredLock(),
        )
        self.listener = RecordingListener()
        self.session = TunnelSession("opener", TunnelSettings(), self.listener, lambda: None)
        self.before_sending: Callable[[], object] = str
        self.acceptor = TunnelSession("acceptor", TunnelSettings(**settings), self.end, self._wake)
        self.end.attached(self.acceptor)
        self.pump()
        if backends is not None:
            self.tell(backends or [backend()])

    def tell(self, backends: Iterable[Backend], revision: int = REVISION) -> None:
        """Send a CONFIG."""
        self.session.send_config(revision, write_group(backends))
        self.pump()

    def _wake(self) -> None:
        self.before_sending()

    def pump(self) -> None:
        """Carry bytes both ways until both sides are quiet."""
        while True:
            there = b"".join(self.session.take_output(TURN))
            back = b"".join(self.acceptor.take_output(TURN))
            if not there and not back:
                return
            self.acceptor.receive(there)
            self.session.receive(back)

    def know(self, number: int, principal: Principal) -> None:
        """Tell the connector who a number is."""
        self.session.send_principal(number, principal.encoded)
        self.pump()

    def request(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        headers: Iterable[Pair] = (),
        *,
        body: int = NO_BODY,
        application: str = "wiki",
        user: int = 0,
        principal: Principal | None = None,
        upgrade: bool = False,
        client: int = 1,
        revision: int = REVISION,
        pump: bool = True,
    ) -> Answer:
        """Open a stream for a request."""
        message = OpenMessage(
            85_000,
            TRANSACTION,
            application,
            revision,
            user,
            digest_of(principal.encoded) if principal is not None else bytes(8),
            body,
            upgrade,
            pack_request(method, target, blocks_of(fields(headers))),
            client,
        )
        answer = Answer()
        answer.stream = self.session.open(message, answer)
        if pump:
            self.pump()
        return answer

    @property
    def transport(self) -> FakeTransport:
        """The newest backend connection."""
        return self.backends.transports[-1]

    def say(self, data: bytes, transport: FakeTransport | None = None) -> None:
        """A backend answers; what comes of it crosses the tunnel."""
        (transport or self.transport).say(data)
        self.pump()

    def lose(self, clean: bool = True) -> None:
        """The newest backend connection ends."""
        self.transport.lose(clean)
        self.pump()

    def advance(self, seconds: float) -> None:
        """Time passes, second by second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
        self.pump()


class Answer(Recorder):
    """What the edge sees of an answer."""

    @property
    def open_stream(self) -> Stream:
        """Its stream."""
        assert self.stream is not None
        return self.stream

    @property
    def heads(self) -> list[tuple[int, int, Fields]]:
        """Every head: status, length, headers."""
        heads = [unpack_response(call[1]) for call in self.calls if call[0] == "head"]
        return [(status, body, fields_of(blocks)) for status, body, blocks in heads]

    @property
    def status(self) -> int:
        """The newest head's status."""
        return self.heads[-1][0]

    @property
    def reason(self) -> str:
        """Why it was reset; empty if it was not."""
        return next((call[1] for call in self.calls if call[0] == "reset"), "")

    @property
    def complete(self) -> bool:
        """Whether all of the answer came."""
        return ("ended",) in self.calls


def failures_of(case: Any, error: type[BaseException]) -> int:
    """How many failures of this kind were logged; they are expected."""
    return len(case.flushLoggedErrors(error))
