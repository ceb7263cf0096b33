"""
What stands between a client and a server that is far away, or that has stopped answering.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

ADDRESS: Final = "127.0.0.1"
READ_BYTES: Final = 65536
BACKLOG: Final = 1024
"""All users of a crowd may come at once."""


class Relay:
    """
    Passes TCP connections on, in a thread of its own.

    @ivar address: where it listens.
    @ivar port: there.
    @ivar delay_seconds: what each piece that a client sends has to wait; may be changed at any time.
    @ivar connections: how many it has accepted.
    """

    def __init__(self, host: str, port: int, *, delay_seconds: float = 0.0) -> None:
        """
        Listen.

        @param host: to whom it passes on.
        """
        self.address = ADDRESS
        self.delay_seconds = delay_seconds
        self.connections = 0
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def fall_silent(self) -> None:
        """Accept connections, and pass nothing on."""
        self._loop.call_soon_threadsafe(self._speaking.clear)

    def speak(self) -> None:
        """Pass on again, also what came meanwhile."""
        self._loop.call_soon_threadsafe(self._speaking.set)

    def stop(self) -> None:
        """Close all connections, and the port."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accepted, self.address, 0, backlog=BACKLOG)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._speaking.wait()
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(
                self._pump(reader, to_server, delayed=True), self._pump(from_server, writer, delayed=False)
            )
        finally:
            to_server.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        while data := await reader.read(READ_BYTES):
            if delayed:
                await asyncio.sleep(self.delay_seconds)
            await self._speaking.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
