"""
The access log: one JSON object a line, one line a request, written by a
thread so that a slow disk stops nobody.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from appproxy.observe.transaction import Transaction

MAXIMUM_PENDING: Final = 8 << 20
"""Bytes of lines that wait for the disk: seconds of a busy edge. What comes after is dropped and counted."""

STOP_SECONDS: Final = 2.0
"""How long the end of the process waits for lines still on their way."""

_MAXIMUM_PATH: Final = 2048
_SESSION_SHOWN: Final = 8

_THOUSANDTHS: Final = tuple(f"{number:03d}" for number in range(1000))
_TENTHS: Final = tuple(f"{number / 10:.1f}" for number in range(2000))
"""Milliseconds as text up to 200: formatting a float costs more than the rest of a field."""


def _milliseconds(seconds: float) -> str:
    tenths = int(seconds * 10_000)
    if 0 <= tenths < 2000:
        return _TENTHS[tenths]
    return f"{seconds * 1000:.1f}" if seconds >= 0 else "null"


class _Quoted(dict[str | bytes, str]):
    """
    JSON texts of values that come again and again: users, hosts, browsers.

    Keeps at most L{MAXIMUM} of them; a full one starts over, since a client may make values up.
    """

    MAXIMUM: Final = 4096
    LONGEST: Final = 512

    def __missing__(self, value: str | bytes) -> str:
        text = value[: self.LONGEST]
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        if len(self) >= self.MAXIMUM:
            self.clear()
        made = quoted(shown) if shown else "null"
        if len(value) <= self.LONGEST:
            self[value] = made
        return made


class AccessFormat:
    """
    Turns transactions into lines.

    @param daemon: which of ours it is, e.g. C{edge}.
    @param query_strings: whether paths keep their query; they carry secrets.
    """

    def __init__(self, daemon: str, query_strings: bool = False) -> None:
        self._daemon = quoted(daemon)
        self._query_strings = query_strings
        self._quoted = _Quoted()
        self._second = -1
        self._second_text = ""

    def line(self, transaction: Transaction) -> bytes:
        """The transaction's line, with its line feed."""
        t = transaction
        known = self._quoted
        second = int(t.started)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        path = t.target if self._query_strings else t.target.partition(b"?")[0]
        shown_path = quoted(path[:_MAXIMUM_PATH].decode("utf-8", "replace"))
        method = known[t.method]
        milliseconds = _THOUSANDTHS[int(t.started * 1000) % 1000]
        # One literal: a sixth cheaper than a template.
        text = (
            f'{{"time":"{self._second_text}.{milliseconds}Z","level":"info",'
            f'"event":"access","daemon":{self._daemon},"message":"request","transaction_id":"{t.id}",'
            f'"application":{known[t.application]},"user":{known[t.user]},'
            f'"session":{known[t.session[:_SESSION_SHOWN]]},"connector":{known[t.connector]},'
            f'"connector_group":{known[t.connector_group]},"tunnel":{known[t.tunnel]},'
            f'"client_address":{known[t.client_address]},"method":{method},"host":{known[t.host]},'
            f'"path":{shown_path},"status":{t.status},"error":{known[t.error]},"reason":{known[t.reason]},'
            f'"protocol":{known[t.protocol]},"bytes_in":{t.bytes_in},"bytes_out":{t.bytes_out},'
            f'"duration_ms":{_milliseconds(t.duration)},"first_byte_ms":{_milliseconds(t.first_byte)},'
            f'"connector_ms":{_milliseconds(t.connector_time)},"backend_ms":{_milliseconds(t.backend_time)},'
            f'"sso_ms":{_milliseconds(t.sso_time)},"retries":{t.retries},'
            f'"user_agent":{known[t.user_agent]}}}\n'
        )
        return text.encode("ascii")


class LineWriter:
    """
    Appends lines to a file or a descriptor, from a thread of its own.

    The thread begins with the first line, and again after a fork.

    @ivar dropped: lines that found no room, or that the disk refused.
    """

    def __init__(
        self, target: str | int, schedule: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        """
        @param target: a path to append to, or an open descriptor (1 for standard output).
        @param schedule: when to hand gathered lines to the thread, e.g. at the end of the reactor's turn;
            L{None}: each at once.
        """
        self.schedule = schedule
        self.dropped = 0
        self._target = target
        self._gathered: list[bytes] = []
        self._pending = 0
        self._reopen = False
        self._queue: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._descriptor = target if isinstance(target, int) else -1

    def write(self, line: bytes) -> None:
        """Append a line (with its line feed) in a while; never waits."""
        if self._pending > MAXIMUM_PENDING:
            self.dropped += 1
            return
        self._pending += len(line)
        self._gathered.append(line)
        if self.schedule is None:
            self.flush()
        elif len(self._gathered) == 1:
            self.schedule(self.flush)

    def flush(self) -> None:
        """Hand what is gathered to the thread."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self._queue.put((b"".join(gathered), len(gathered)))

    def reopen(self) -> None:
        """Open the path anew before the next line: it was rotated away."""
        self._reopen = True

    def stop(self) -> None:
        """Write what is left; waits a moment for it. Later lines start over."""
        self.flush()
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(STOP_SECONDS)
        atexit.unregister(self.stop)

    def _start(self) -> None:
        # A fork takes no thread along, and may have left the old queue's lock taken.
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(self._queue,), name="appproxy-log", daemon=True
        )
        self._thread.start()
        atexit.register(self.stop)

    def _run(self, source: queue.SimpleQueue[tuple[bytes, int] | None]) -> None:
        while (item := source.get()) is not None:
            chunk, lines = item
            try:
                self._write_all(chunk)
            except OSError:
                self.dropped += lines
            self._pending -= len(chunk)

    def _write_all(self, chunk: bytes) -> None:
        if isinstance(self._target, str) and (self._descriptor < 0 or self._reopen):
            self._open(self._target)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _open(self, path: str) -> None:
        self._reopen = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def access_line(transaction: Transaction, daemon: str = "edge") -> bytes:
    """One transaction's line, without its query; L{AccessFormat} is faster for many."""
    return AccessFormat(daemon).line(transaction)
