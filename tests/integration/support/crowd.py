"""
Thousands of clients at once, of which each is one connection: who waits, who asks, who talks, who dawdles.

Every answer is held against who asked for it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tests.integration.support.load import (
    ANSWER_SECONDS,
    Messages,
    Person,
    Place,
    Wrong,
    check_told,
    read_answer,
    request_head,
    upgrade_lines,
)
from tests.integration.support.marked_backend import marked_bytes

T = TypeVar("T")

READ_BYTES: Final = 16 << 10
LARGEST_HEAD: Final = 64 << 10
SOURCES: Final = 16
"""Loopback addresses that clients come from: one has 28,000 ports, of which many rest after use."""

PAUSE_SECONDS: Final = 10.0
"""The longest one between two requests, or messages, of one client."""

DRIP_SECONDS: Final = (1.0, 3.0)
"""Between two bytes of who dawdles."""

BODY_BYTES: Final = 200
MESSAGE_BYTES: Final = 300
PROMISED_BODY: Final = 100_000
"""What a slow body is said to be; at a byte a second nobody sees its end."""


class Connection:
    """
    One TLS connection, without the 256 KiB that C{asyncio} keeps for each.

    A L{tests.integration.support.load.Readable}.
    """

    def __init__(self, secured: ssl.SSLSocket) -> None:
        self._socket = secured
        self._loop = asyncio.get_running_loop()
        self._received = b""

    @classmethod
    async def open(cls, place: Place, context: ssl.SSLContext, source: str) -> Connection:
        """Connect and shake hands."""
        plain = socket.socket()
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", place.port))
            secured = context.wrap_socket(plain, server_hostname=place.host, do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        connection = cls(secured)
        try:
            await connection._until(secured.do_handshake)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        while data:
            data = data[await self._until(lambda: self._socket.send(data)) :]  # noqa: B023

    async def some(self) -> bytes:
        """What comes next; empty at the end."""
        received, self._received = self._received, b""
        return received or await self._until(lambda: self._socket.recv(READ_BYTES))

    async def readuntil(self, separator: bytes) -> bytes:
        """All up to this, and it."""
        while separator not in self._received:
            if len(self._received) > LARGEST_HEAD:
                raise Wrong(f"no end of {self._received[:80]!r}")
            self._received += await self._more()
        found, _, self._received = self._received.partition(separator)
        return found + separator

    async def readexactly(self, n: int) -> bytes:
        """So many bytes."""
        while len(self._received) < n:
            self._received += await self._more()
        found, self._received = self._received[:n], self._received[n:]
        return found

    async def is_told(self, seconds: float) -> bool:
        """Whether something was said, be it the end, within this time; what was said is kept."""
        try:
            async with asyncio.timeout(seconds):
                self._received += await self._more()
        except TimeoutError:
            return False
        except (EOFError, ConnectionError):
            pass
        return True

    async def _more(self) -> bytes:
        data = await self._until(lambda: self._socket.recv(READ_BYTES))
        if not data:
            raise EOFError("the connection ended")
        return data

    async def _until(self, call: Callable[[], T]) -> T:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    await self._turn(self._loop.add_reader, self._loop.remove_reader)
                except ssl.SSLWantWriteError:
                    await self._turn(self._loop.add_writer, self._loop.remove_writer)

    async def _turn(self, add: Callable[..., None], remove: Callable[[int], Any]) -> None:
        turn = self._loop.create_future()
        number = self._socket.fileno()
        add(number, _wake, turn)
        try:
            await turn
        finally:
            if number >= 0:
                remove(number)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


@dataclass
class Outcome:
    """
    What came of a kind of clients.

    @ivar counts: answers and ends, by their name.
    @ivar problems: what should not have been.
    @ivar seconds: how long each answer of a request took; of who dawdles, how long they were let.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Client:
    """
    One client.

    @cvar kind: its name.
    """

    kind = ""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._person = crowd.people[number % len(crowd.people)]
        self._source = f"127.0.0.{1 + number % SOURCES}"
        self._random = random.Random(f"{self.kind}/{number}")
        self._turn = 0
        self._connection: Connection | None = None

    async def arrive(self) -> None:
        """Connect, and do what makes one of this kind of it."""
        await self._connect()

    async def stay(self) -> None:
        """Be there until the crowd is told to go."""

    async def part(self) -> None:
        """The last thing to do, after all stayed."""

    def leave(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()

    @property
    def connection(self) -> Connection:
        """The connection, which is there."""
        assert self._connection is not None
        return self._connection

    async def _connect(self) -> None:
        self._connection = await Connection.open(self._crowd.place, self._crowd.context, self._source)

    def _mark(self) -> str:
        self._turn += 1
        return f"{self._person.name}/{self.kind.replace(' ', '-')}/{self._number}/{self._turn}"

    def _head(self, method: str, mark: str, more: str = "") -> bytes:
        return request_head(self._crowd.place, self._person, method, f"/{mark}", mark, more)

    async def _ask(self) -> None:
        """One request, whose answer has to be whole and the asker's own, on a connection that stays."""
        mark = self._mark()
        body = marked_bytes(mark, self._random.randrange(1, BODY_BYTES))
        began = time.monotonic()
        await self.connection.send(self._head("POST", mark, f"Content-Length: {len(body)}\r\n") + body)
        status, content, stays = await read_answer(self.connection)
        self._crowd.outcome.seconds.append(time.monotonic() - began)
        self._crowd.outcome.counts[str(status)] += 1
        if status != 200 or not stays:
            raise Wrong(
                f"{mark}: {status}, the connection {'stays' if stays else 'closes'}: {content[:200]!r}"
            )
        check_told(self._person, mark, body, content)

    async def _is_to_go_on(self) -> bool:
        """Whether this client is to go on after a pause; told early if everybody is to go."""
        try:
            await asyncio.wait_for(self._crowd.going.wait(), self._random.uniform(0, PAUSE_SECONDS))
        except TimeoutError:
            return True
        return False


class Idle(Client):
    """Asks once, then waits; at the end, asks again."""

    kind = "idle"

    async def arrive(self) -> None:
        """Connect, and ask."""
        await self._connect()
        await self._ask()

    async def part(self) -> None:
        """The connection is still good."""
        await self._ask()


class Active(Client):
    """Asks now and then."""

    kind = "active"

    async def arrive(self) -> None:
        """Connect, and ask: who says nothing for as long as a head may take is sent away."""
        await self._connect()
        await self._ask()

    async def stay(self) -> None:
        """Ask, and think."""
        while await self._is_to_go_on():
            await self._ask()


class Talking(Client):
    """A WebSocket with a message now and then."""

    kind = "WebSocket"

    async def arrive(self) -> None:
        """Connect, and be greeted by name."""
        await self._connect()
        mark = self._mark()
        self._messages = Messages(self._person, mark)
        await self.connection.send(self._head("GET", mark, upgrade_lines()))
        head = await self.connection.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Wrong(f"{mark}: no WebSocket: {head[:200]!r}")
        await self._listen()

    async def stay(self) -> None:
        """Talk."""
        while await self._is_to_go_on():
            began = time.monotonic()
            await self.connection.send(self._messages.next(self._random.randrange(1, MESSAGE_BYTES)))
            await self._listen()
            self._crowd.outcome.seconds.append(time.monotonic() - began)

    async def _listen(self) -> None:
        while not self._messages.received(await self.connection.some()):
            pass
        self._crowd.outcome.counts["message"] += 1


class Dawdler(Client):
    """
    Sends a byte now and then, and comes again when it is told to go: that is with 408, and nothing else.
    """

    async def arrive(self) -> None:
        """Begin, for the first time."""
        await self._begin()

    async def stay(self) -> None:
        """Drip; when it is over, begin again."""
        while not self._crowd.going.is_set():
            if not await self.connection.is_told(self._random.uniform(*DRIP_SECONDS)):
                # It may be over already: what was said then is still there to be read.
                with suppress(ConnectionError):
                    await self.connection.send(b"x")
                self._crowd.outcome.counts["byte"] += 1
                continue
            await self._shown_out()
            await self._begin()

    async def _begin(self) -> None:
        await self._connect()
        self._began = time.monotonic()
        await self.connection.send(self._start())

    def _start(self) -> bytes:
        """What is sent at once."""
        raise NotImplementedError

    async def _shown_out(self) -> None:
        status, content, stays = await read_answer(self.connection)
        self._crowd.outcome.seconds.append(time.monotonic() - self._began)
        self._crowd.outcome.counts[str(status)] += 1
        if status != 408 or stays or await self._says_more():
            raise Wrong(f"{status}, the connection {'stays' if stays else 'closes'}: {content[:200]!r}")
        self.leave()

    async def _says_more(self) -> bool:
        try:
            return bool(await self.connection.some())
        except ConnectionError:
            return False


class SlowHead(Dawdler):
    """Never comes to the end of a head."""

    kind = "slow head"

    def _start(self) -> bytes:
        return self._head("GET", self._mark(), "X-Slow: ")[:-2]


class SlowBody(Dawdler):
    """Never comes to the end of a body."""

    kind = "slow body"

    def _start(self) -> bytes:
        return self._head("POST", self._mark(), f"Content-Length: {PROMISED_BODY}\r\n")


KINDS: Final[Sequence[type[Client]]] = (Idle, Active, Talking, SlowHead, SlowBody)


class Crowd:
    """
    Clients of one kind, in the running loop of C{asyncio}.

    @ivar going: set when everybody is to come to an end.
    @ivar outcome: what came of it.
    """

    def __init__(
        self, kind: type[Client], count: int, place: Place, people: Sequence[Person], context: ssl.SSLContext
    ) -> None:
        self.place = place
        self.people = people
        self.context = context
        self.kind = kind.kind
        self.outcome = Outcome()
        self.going = asyncio.Event()
        self._clients = [kind(self, number) for number in range(count)]
        self._staying: list[asyncio.Future[None]] = []

    async def arrive(self, at_once: int) -> None:
        """All connect, so many at a time; then they do what their kind does."""
        room = asyncio.Semaphore(at_once)

        async def one(client: Client) -> None:
            async with room:
                await self._judge(client.arrive)

        await asyncio.gather(*map(one, self._clients))
        self._staying = [asyncio.ensure_future(self._judge(client.stay)) for client in self._clients]

    async def part(self, at_once: int) -> None:
        """All finish what they began, and say their last words."""
        self.going.set()
        await asyncio.gather(*self._staying)
        room = asyncio.Semaphore(at_once)

        async def one(client: Client) -> None:
            async with room:
                await self._judge(client.part)

        await asyncio.gather(*map(one, self._clients))

    def leave(self) -> None:
        """All hang up."""
        for each in self._staying:
            each.cancel()
        for client in self._clients:
            client.leave()

    async def _judge(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except TimeoutError:
            self._note("stuck", f"nothing within {ANSWER_SECONDS:g} s")
        except Exception as error:
            self._note(type(error).__name__, repr(error))

    def _note(self, name: str, problem: str) -> None:
        self.outcome.counts[name] += 1
        self.outcome.problems.append(f"{self.kind}: {problem}")
