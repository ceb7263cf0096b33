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

from mypy_extensions import mypyc_attr

from appproxy.observe.transaction import Transaction

MAXIMUM_PENDING: Final = 8 << 20
"""Bytes of lines that wait for the disk: seconds of a busy edge. What comes after is dropped and counted."""

STOP_SECONDS: Final = 2.0
"""How long the end of the process waits for lines still on their way."""

GATHER_SECONDS: Final = 0.05
"""
How long lines are gathered. To wake the writing thread costs two switches between threads, and as long as
it runs every system call of the reactor has to wait for the interpreter's lock; once a turn, that was an
eighth of the edge's time.
"""

GATHER_BYTES: Final = 64 << 10
"""With so much gathered the thread is woken at once."""

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


class _Lane:
    """
    The way from writers to one thread.

    Each counter has one side that writes it: a number that two threads change goes wrong in time.
    """

    __slots__ = ("handed", "queue", "refused", "taken", "thread")

    def __init__(self, write_all: Callable[[bytes], None]) -> None:
        self.queue: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self.handed = self.taken = self.refused = 0
        self.thread = threading.Thread(target=self._run, args=(write_all,), name="appproxy-log", daemon=True)
        self.thread.start()

    def _run(self, write_all: Callable[[bytes], None]) -> None:
        while (item := self.queue.get()) is not None:
            chunk, lines = item
            try:
                write_all(chunk)
            except OSError:
                self.refused += lines
            self.taken += len(chunk)


@mypyc_attr(allow_interpreted_subclasses=True)
class LineWriter:
    """
    Appends lines to a file or a descriptor, from a thread of its own.

    The thread begins with the first line, and again after a fork.
    """

    def __init__(
        self, target: str | int, schedule: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        """
        @param target: a path to append to, or an open descriptor (1 for standard output).
        @param schedule: when to hand gathered lines to the thread, e.g. after L{GATHER_SECONDS};
            L{None}: each at once.
        """
        self.schedule = schedule
        self._target = target
        self._descriptor = target if isinstance(target, int) else -1
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._due = False
        self._lane: _Lane | None = None
        self._lock = threading.RLock()
        self._full = self._refused_before = 0
        self._reopen = False

    @property
    def dropped(self) -> int:
        """Lines that found no room, or that the disk refused."""
        return self._full + self._refused_before + (self._lane.refused if self._lane is not None else 0)

    def write(self, line: bytes) -> None:
        """Append a line (with its line feed) in a while; never waits. For one thread, the reactor's."""
        if self._has_no_room(self._gathered_size):
            return
        self._gathered_size += len(line)
        self._gathered.append(line)
        if self.schedule is None or self._gathered_size >= GATHER_BYTES:
            self.flush()
        elif not self._due:
            self._due = True
            self.schedule(self._flush_due)

    def write_now(self, line: bytes) -> None:
        """Append a line without waiting for the schedule; from any thread."""
        if not self._has_no_room(0):
            self._hand_over(line, 1)

    def flush(self) -> None:
        """Hand what is gathered to the thread."""
        gathered, self._gathered, self._gathered_size = self._gathered, [], 0
        if gathered:
            self._hand_over(b"".join(gathered), len(gathered))

    def _flush_due(self) -> None:
        self._due = False
        self.flush()

    def reopen(self) -> None:
        """Open the path anew before the next line: it was rotated away."""
        self._reopen = True

    def stop(self) -> None:
        """Write what is left; waits a moment for it. Later lines start over."""
        self.flush()
        with self._lock:
            lane, self._lane = self._lane, None
        if lane is not None and lane.thread.is_alive():
            lane.queue.put(None)
            lane.thread.join(STOP_SECONDS)
        self._refused_before += lane.refused if lane is not None else 0
        atexit.unregister(self.stop)

    def _has_no_room(self, gathered: int) -> bool:
        lane = self._lane
        waiting = gathered + (lane.handed - lane.taken if lane is not None else 0)
        if waiting > MAXIMUM_PENDING:
            self._full += 1
            return True
        return False

    def _hand_over(self, chunk: bytes, lines: int) -> None:
        with self._lock:
            lane = self._lane
            # A fork takes no thread along, and may have left its queue's lock taken.
            if lane is None or not lane.thread.is_alive():
                lane = self._lane = _Lane(self._write_all)
                atexit.register(self.stop)
            lane.handed += len(chunk)
            lane.queue.put((chunk, lines))

    def _write_all(self, chunk: bytes) -> None:
        if isinstance(self._target, str) and (self._descriptor < 0 or self._reopen):
            self._open(self._target)
        rest = memoryview(chunk)
        while rest:
            written = os.write(self._descriptor, rest)
            rest = rest[written:]

    def _open(self, path: str) -> None:
        self._reopen = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def access_line(transaction: Transaction, daemon: str = "edge") -> bytes:
    """One transaction's line, without its query; L{AccessFormat} is faster for many."""
    return AccessFormat(daemon).line(transaction)
