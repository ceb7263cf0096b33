"""
C{python -m bench.paced TARGET}: small requests at fixed times, and how long each took.

An open loop: a slow answer does not put off the next request, which goes out on another connection. Waiting
counts from when a request was due, so that a client that is late hides nothing; how late it was is told too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from typing import Any, Final

from bench.latencies import in_milliseconds
from bench.requests import SECONDS, Target, check_status, client_context, read_target

CONNECTIONS: Final = 8
"""
That are made beforehand: whoever is at work has some already. More are made where answers are slow.
"""

END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Paced:
    """
    @ivar due: when requests were due, on the monotonic clock, in the order of their answers.
    @ivar latencies: of the same: seconds from when a request was due until its answer was complete.
    @ivar lateness: seconds from when a request was due until the client got to it.
    @ivar opened: connections made.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._request = target.request()
        self._context = client_context()
        self._idle: list[Connection] = []
        self.due: list[float] = []
        self.latencies: list[float] = []
        self.lateness: list[float] = []
        self.opened = 0
        self._stopping = False

    async def run(self, rate: float, seconds: float) -> None:
        """Send C{rate} requests a second until L{stop}, at most so long; then wait for the last answer."""
        for _ in range(CONNECTIONS):
            await self._ask_once()
        loop = asyncio.get_running_loop()
        start = loop.time() + 1 / rate
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(rate * seconds)):
                due = start + number / rate
                await asyncio.sleep(due - loop.time())
                if self._stopping:
                    break
                tasks.create_task(self._measure(due))

    def stop(self) -> None:
        """Send no more."""
        self._stopping = True

    async def _ask_once(self) -> None:
        """The first request of a connection is not counted."""
        connection = await self._connection()
        await self._exchange(connection)
        self._idle.append(connection)

    async def _measure(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self.lateness.append(loop.time() - due)
        connection = self._idle.pop() if self._idle else await self._connection()
        await asyncio.wait_for(self._exchange(connection), SECONDS)
        self.due.append(due)
        self.latencies.append(loop.time() - due)
        self._idle.append(connection)

    async def _connection(self) -> Connection:
        self.opened += 1
        target = self._target
        if not target.tls:
            return await asyncio.open_connection(target.address, target.port)
        return await asyncio.open_connection(
            target.address, target.port, ssl=self._context, server_hostname=target.host
        )

    async def _exchange(self, connection: Connection) -> None:
        reader, writer = connection
        writer.write(self._request)
        head = await reader.readuntil(END_OF_HEAD)
        check_status(head)
        await reader.readexactly(length_of(head))


def length_of(head: bytes) -> int:
    """
    The Content-Length.

    @raise RuntimeError: if there is none.
    """
    for line in head.lower().splitlines():
        if line.startswith(_LENGTH):
            return int(line.removeprefix(_LENGTH))
    raise RuntimeError(f"an answer without a length: {head[:300]!r}")


async def _run(paced: Paced, rate: float, seconds: float) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, paced.stop)
    await paced.run(rate, seconds)


def main() -> None:
    """Ask, and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.paced")
    parser.add_argument("target")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--each", action="store_true", help="tell when each was due, and how long it took")
    options = parser.parse_args()
    paced = Paced(read_target(options.target))
    asyncio.run(_run(paced, options.rate, options.seconds))
    late = in_milliseconds(paced.lateness)
    result: dict[str, Any] = {
        **in_milliseconds(paced.latencies),
        "late_p99_ms": late["p99_ms"],
        "connections": paced.opened,
    }
    if options.each:
        result["each"] = list(zip(paced.due, paced.latencies, strict=True))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
