"""
People at work: signed-in clients that ask without pause, and judge every answer.

An answer is whole and the asker's own, or an error, or visibly broken off. Anything else is a problem
at any time; errors and breaks are problems while nothing was disturbed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import ssl
import threading
from asyncio import LimitOverrunError, StreamReader, StreamWriter
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from bench.websocket_frames import pack, unpack
from tests.integration.support.marked_backend import marked_bytes

ANSWER_SECONDS: Final = 60.0
"""Much more than the edge lets anything wait for: an answer that takes this long, or a message, is stuck."""

RETRY_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.05
"""Between two requests of one client: all together keep daemons busy, and leave the machine some air."""

SMALL_BODY: Final = 2_000
LARGEST_BODY: Final = 1_500_000
MESSAGE_SIZE: Final = 3_000
UNREACHABLE: Final = "unreachable"
"""Nobody takes connections: an edge is dead."""

ERRORS: Final = frozenset({502, 503, 504})
"""What an outage may be told by. That a user is signed out (303, 401) or an application gone (404) is not."""


class Broken(Exception):
    """The transfer did not come to its end, and the client can tell."""


class Wrong(Exception):
    """An answer that must never be given."""


@dataclass(frozen=True)
class Person:
    """
    Somebody who is signed in.

    @ivar name: what applications are told.
    @ivar cookie: the Cookie header's value.
    """

    name: str
    cookie: str


@dataclass(frozen=True)
class Place:
    """Where requests go to."""

    port: int
    host: str
    ca_file: Path


@dataclass
class Tally:
    """
    What came of all requests.

    @ivar counts: of answers by kind and outcome.
    @ivar problems: what should not have been.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Line:
    """One connection to the edge."""

    def __init__(self, place: Place, person: Person, context: ssl.SSLContext) -> None:
        self._place = place
        self._person = person
        self._context = context
        self._streams: tuple[StreamReader, StreamWriter] | None = None

    async def ask(self, method: str, target: str, mark: str, body: bytes = b"") -> tuple[int, bytes]:
        """
        One request, and its whole answer.

        @raise Broken: if there is none.
        """
        size = f"Content-Length: {len(body)}\r\n" if body else ""
        try:
            reader, writer = await self._open()
            writer.write(request_head(self._place, self._person, method, target, mark, size) + body)
            # An edge that answers early need not read all of the body: both ways at once.
            sending = asyncio.ensure_future(_drain(writer))
            try:
                status, content, stays = await read_answer(reader)
            finally:
                sending.cancel()
        except (OSError, EOFError, LimitOverrunError) as error:
            self.close()
            raise Broken(f"broken: {error!r}") from error
        except BaseException:
            self.close()
            raise
        if not stays or status != 200:
            self.close()
        return status, content

    async def upgrade(self, mark: str) -> tuple[int, StreamReader, StreamWriter]:
        """Ask for a WebSocket."""
        reader, writer = await self._open()
        writer.write(request_head(self._place, self._person, "GET", "/socket", mark, upgrade_lines()))
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ")[1]), reader, writer

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _open(self) -> tuple[StreamReader, StreamWriter]:
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection(
                    "127.0.0.1", self._place.port, ssl=self._context, server_hostname=self._place.host
                )
            except OSError as error:
                raise Broken(f"{UNREACHABLE}: {error}") from error
        return self._streams


class Readable(Protocol):
    """What of a C{StreamReader} an answer needs."""

    async def readuntil(self, separator: bytes) -> bytes:
        """All up to this, and it; raises L{EOFError} if it never comes."""

    async def readexactly(self, n: int) -> bytes:
        """So many bytes; raises L{EOFError} if there are not so many."""


def request_head(place: Place, person: Person, method: str, target: str, mark: str, more: str = "") -> bytes:
    """
    The head of a request of somebody.

    @param more: further lines, with their ends.
    """
    authority = f"{place.host}:{place.port}"
    return (
        f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\nOrigin: https://{authority}\r\n"
        f"Cookie: {person.cookie}\r\nX-Mark: {mark}\r\n{more}\r\n"
    ).encode()


def upgrade_lines() -> str:
    """What asks for a WebSocket."""
    key = b64encode(os.urandom(16)).decode()
    return (
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    )


def check_told(person: Person, mark: str, body: bytes, content: bytes) -> None:
    """
    An application was sent a body, and tells of whom and what.

    @raise Wrong: if that is not what was sent.
    """
    told = json.loads(content)
    expected = {
        "user": person.name,
        "mark": mark,
        "cookie": False,
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    if told != expected:
        raise Wrong(f"expected {expected}, got {told}")


class Messages:
    """
    What somebody says on a WebSocket that echoes, and what has to come back. The application speaks
    first, and names its user.
    """

    def __init__(self, person: Person, mark: str) -> None:
        self._expected = f"{person.name} {mark}".encode()
        self._mark = mark
        self._turn = 0
        self._rest = b""

    def received(self, data: bytes) -> bool:
        """
        Whether the message came that had to.

        @raise EOFError: if the connection ended.
        @raise Wrong: for another message.
        """
        if not data:
            raise EOFError("a WebSocket ended")
        got, self._rest = unpack(self._rest + data)
        if got and (got != [self._expected] or self._rest):
            raise Wrong(f"{self._mark}: expected {self._expected[:80]!r}, got {got!r:.200}")
        return bool(got)

    def next(self, size: int) -> bytes:
        """Another message, to be sent."""
        self._expected = marked_bytes(f"{self._mark}/{self._turn}", size)
        self._turn += 1
        return pack(self._expected, os.urandom(4))


async def read_answer(reader: Readable) -> tuple[int, bytes, bool]:
    """
    Read an answer as strictly as a browser does.

    @return: status, body, and whether the connection stays.
    @raise EOFError: if the connection ends before the answer does.
    @raise Wrong: if nothing says where it ends.
    """
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    headers = dict(_field(line) for line in lines)
    status = int(first.split(b" ")[1])
    stays = headers.get(b"connection", b"").lower() != b"close"
    if headers.get(b"transfer-encoding") == b"chunked":
        return status, await _chunks(reader), stays
    if b"content-length" not in headers:
        raise Wrong(f"an answer without an end: {first!r} {headers!r}")
    return status, await reader.readexactly(int(headers[b"content-length"])), stays


async def _drain(writer: StreamWriter) -> None:
    with suppress(OSError):  # whoever reads the answer notices
        await writer.drain()


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip()


async def _chunks(reader: Readable) -> bytes:
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)


class Visitor:
    """One client of one person, with a connection of its own."""

    def __init__(self, load: Load, person: Person, number: int) -> None:
        self._load = load
        self._person = person
        self._number = number
        self._turn = 0
        self._line = Line(load.place, person, load.context)
        self._random = random.Random(f"{load.seed}/{number}")

    async def small(self) -> int:
        """A small request with a body of its own."""
        mark = self._mark()
        return await self._send(mark, self._random.randrange(1, SMALL_BODY))

    async def upload(self) -> int:
        """A large body up."""
        mark = self._mark()
        return await self._send(mark, self._random.randrange(SMALL_BODY, LARGEST_BODY))

    async def download(self) -> int:
        """A large body down, in either framing."""
        mark, size = self._mark(), self._random.randrange(SMALL_BODY, LARGEST_BODY)
        query = self._random.choice(("", "?chunked"))
        async with asyncio.timeout(ANSWER_SECONDS):
            status, content = await self._line.ask("GET", f"/down/{size}{query}", mark)
        if status == 200 and content != marked_bytes(mark, size):
            raise Wrong(f"{mark}: {size} bytes asked for, {len(content)} came: {content[:80]!r}")
        return status

    async def messages(self) -> int:
        """A WebSocket, and some messages."""
        mark = self._mark()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, reader, writer = await self._line.upgrade(mark)
            if status != 101:
                return status
            await self._exchange(mark, reader, writer)
        except TimeoutError:
            raise
        except (OSError, EOFError, LimitOverrunError) as error:
            raise Broken(f"broken: {error!r}") from error
        finally:
            self._line.close()
        return 200

    async def _exchange(self, mark: str, reader: StreamReader, writer: StreamWriter) -> None:
        messages = Messages(self._person, mark)
        for _ in range(self._random.randrange(1, 60)):
            async with asyncio.timeout(ANSWER_SECONDS):
                while not messages.received(await reader.read(MESSAGE_SIZE)):
                    pass
            writer.write(messages.next(self._random.randrange(1, MESSAGE_SIZE)))
            await asyncio.sleep(self._random.uniform(0, LONGEST_PAUSE_SECONDS))

    async def _send(self, mark: str, size: int) -> int:
        body = marked_bytes(mark, size)
        async with asyncio.timeout(ANSWER_SECONDS):
            status, content = await self._line.ask("POST", f"/{mark}", mark, body)
        if status == 200:
            check_told(self._person, mark, body, content)
        return status

    def _mark(self) -> str:
        self._turn += 1
        return f"{self._person.name}/{self._number}/{self._turn}"

    def pause(self) -> float:
        """How long this client thinks."""
        return self._random.uniform(0, LONGEST_PAUSE_SECONDS)

    def leave(self) -> None:
        """Hang up."""
        self._line.close()


KINDS: Final = ("small", "small", "download", "small", "upload", "messages")
"""What clients do, one after the other."""


class Load(threading.Thread):
    """
    All clients, in a thread of their own.

    @ivar tally: what came of it.
    """

    def __init__(self, place: Place, people: Sequence[Person], seed: int) -> None:
        super().__init__(daemon=True, name="load")
        self.place = place
        self.seed = seed
        self.tally = Tally()
        self.context = ssl.create_default_context(cafile=place.ca_file)
        self._people = people
        self._loop = asyncio.new_event_loop()
        self._working: list[asyncio.Task[None]] = []
        self._going = False
        self._rounds = 0
        self._disturbances = 0
        self._is_disturbed = False

    # -- from the test's thread

    def run(self) -> None:
        """The thread."""
        self._loop.run_forever()

    def go_on(self) -> None:
        """Let all clients work."""
        self._call(self._start())

    def pause(self) -> None:
        """Let all finish what they began; who does not is stuck, which is a problem."""
        self._call(self._finish())

    def disturb(self) -> None:
        """From now until L{calm} requests may fail, visibly."""
        self._disturbances += 1
        self._is_disturbed = True

    def calm(self) -> None:
        """From now on none may fail."""
        self._is_disturbed = False

    def ask_for_all(self) -> None:
        """Each person asks once, on a new connection."""
        self._call(self._roll_call())

    def end(self) -> None:
        """Hang up, all."""
        if self.is_alive():
            self._going = False
            self._call(self._hang_up())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self.join()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        # Nobody exchanges so many messages that each take so long.
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10 * ANSWER_SECONDS)

    # -- in the loop

    async def _start(self) -> None:
        self._going = True
        self._rounds += 1
        self._working = [
            asyncio.ensure_future(self._work(Visitor(self, person, number), KINDS[number % len(KINDS)]))
            for number, person in enumerate(self._people, self._rounds * len(self._people))
        ]

    async def _finish(self) -> None:
        self._going = False
        await asyncio.gather(*self._working)

    async def _hang_up(self) -> None:
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def _roll_call(self) -> None:
        for start in range(0, len(self._people), 10):
            await asyncio.gather(*map(self._present, self._people[start : start + 10]))

    async def _present(self, person: Person) -> None:
        visitor = Visitor(self, person, -self._rounds)
        await self._judge("present", visitor.small)
        visitor.leave()

    async def _work(self, visitor: Visitor, kind: str) -> None:
        try:
            while self._going:
                if not await self._judge(kind, getattr(visitor, kind)):
                    await asyncio.sleep(RETRY_SECONDS)
                await asyncio.sleep(visitor.pause())
        finally:
            visitor.leave()

    async def _judge(self, kind: str, work: Callable[[], Coroutine[Any, Any, int]]) -> bool:
        """Do one thing, and count what came of it."""
        began = self._disturbances if not self._is_disturbed else -1
        try:
            status = await work()
            outcome, allowed = str(status), status in ERRORS
        except TimeoutError:
            outcome, allowed = "stuck", False
        except Broken as error:
            outcome, allowed = str(error), True
        except Exception as error:
            outcome, allowed = repr(error), False
        self.tally.counts[f"{kind} {outcome.partition(':')[0]}"] += 1
        if outcome == "200":
            return True
        if not allowed or began == self._disturbances:
            self.tally.problems.append(f"{kind}: {outcome}{'' if began == -1 else ' (undisturbed)'}")
        return False
