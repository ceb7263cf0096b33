"""
C{python -m bench.delay_proxy}: a TCP proxy as slow and as far away as a real line. Needs no privileges.

It ends the connections at both sides, so what a sender's kernel sees is this process, not the far
end. Read eagerly, it would hide everything that a slow line does to a sender: it would take
megabytes at once and queue them itself, and a small frame would wait here, where no measure of the tunnel
could help. So it takes from a sender only what a line would have under way:

  - the pieces that are in flight, and a queue before the narrow place; once that is full, nothing is read;
  - a receive buffer of the kernel of few KiB, and segments of an Ethernet's size instead of loopback's.

Then the sender's socket fills, and what it does with its unsent bytes is what is measured.

Unlike a router it never drops: with a full queue the sender's window closes. So a sender keeps this queue
full all the time, however it controls congestion, and every small answer waits for all of it. Hence it is one
round trip long, as the old rule for routers has it; what congestion control makes of longer ones, which
drop, only L{bench.packet_line} shows. The clock ticks in milliseconds, as C{epoll} does.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from bench.bottleneck import Bottleneck
from bench.line_options import LineShape, add_shape, shape_of

PIECE: Final = 8 << 10
"""Bytes read at a time: 1.3 ms at 50 Mbit/s."""

KERNEL_BUFFER: Final = 32 << 10
"""SO_RCVBUF towards senders: 5 ms at 50 Mbit/s. The kernel doubles it for its own needs."""

SEGMENT: Final = 1460
"""TCP_MAXSEG: what an Ethernet carries."""

_PATIENCE: Final = 10.0

Address = tuple[str, int]


class Lane:
    """
    One direction of the line, which all connections share.
    """

    def __init__(self, bottleneck: Bottleneck, clock: asyncio.AbstractEventLoop) -> None:
        self.bottleneck = bottleneck
        self._clock = clock
        self._turn = asyncio.Lock()
        self.most = int(bottleneck.capacity + bottleneck.rate * bottleneck.delay) + PIECE

    async def enter(self, size: int) -> float:
        """Wait for room in the queue, behind others that wait; tell when the bytes are to arrive."""
        async with self._turn:
            while (arrival := self.bottleneck.enter(size, self._clock.time())) is None:
                await asyncio.sleep(self.bottleneck.room_in(size, self._clock.time()))
        return arrival


class Flow:
    """
    One direction of one connection.

    Holds no more than the line would, also if the receiver takes nothing.
    """

    def __init__(self, lane: Lane, source: socket.socket, sink: socket.socket) -> None:
        self._lane = lane
        self._source = source
        self._sink = sink
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until the sender ends its direction, or either side breaks."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self._held > self._lane.most:
                await self._wait()
            data = await loop.sock_recv(self._source, PIECE)
            arrival = await self._lane.enter(len(data) or 1)
            self._held += len(data)
            self._pieces.append((arrival, data))
            self._changed.set()
            if not data:
                return

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._pieces:
                await self._wait()
            arrival, data = self._pieces.popleft()
            await asyncio.sleep(arrival - loop.time())
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self._sink, data)
            self._held -= len(data)
            self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class DelayProxy:
    """
    A line from some ports of 127.0.0.1 to others, there or at other addresses.
    """

    def __init__(self, shape: LineShape, loop: asyncio.AbstractEventLoop) -> None:
        self._up, self._down = (Lane(shape.bottleneck(), loop) for _ in range(2))
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, port: int, target: Address) -> None:
        """Accept on one port, and lead to the other, for ever."""
        listener = _small(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        listener.setblocking(False)
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(listener)
            task = asyncio.create_task(self._carry(near, target))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _carry(self, near: socket.socket, target: Address) -> None:
        """One connection, from its beginning to its end."""
        far = _small(socket.socket())
        with near, far:
            try:
                await self._connect(near, far, target)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(Flow(self._up, near, far).run())
                    tasks.create_task(Flow(self._down, far, near).run())
            except* OSError:
                pass  # Either side broke it off: both are closed now.

    async def _connect(self, near: socket.socket, far: socket.socket, target: Address) -> None:
        """
        The handshake costs a round trip too.

        The near side believes at once that it is connected, so its first bytes wait instead.
        """
        loop = asyncio.get_running_loop()
        for each in (near, far):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.sleep(self._up.bottleneck.delay + self._down.bottleneck.delay)
        await asyncio.wait_for(loop.sock_connect(far, target), _PATIENCE)


def _small(sock: socket.socket) -> socket.socket:
    """Buffers as small as the line wants them; connections that are accepted inherit them."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * KERNEL_BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    return sock


async def _serve(shape: LineShape, routes: Sequence[tuple[int, Address]]) -> None:
    proxy = DelayProxy(shape, asyncio.get_running_loop())
    await asyncio.gather(*(proxy.serve(port, target) for port, target in routes))


def read_route(text: str) -> tuple[int, Address]:
    """
    Where to listen, and where to lead to: C{PORT:TARGET} or C{PORT:ADDRESS:TARGET}.

    @raise ValueError: if it is neither.
    """
    port, _, target = text.partition(":")
    address, _, target_port = target.rpartition(":")
    return int(port), (address or "127.0.0.1", int(target_port))


def main() -> None:
    """Until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m bench.delay_proxy")
    parser.add_argument("routes", nargs="+", type=read_route, metavar="PORT:[ADDRESS:]TARGET")
    add_shape(parser)
    options = parser.parse_args()
    asyncio.run(_serve(shape_of(options), options.routes))


if __name__ == "__main__":
    main()
