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

MAXIMUM_REMEMBERED: Final = 4096
"""Texts that are kept of one sort. A full memory starts over, since a client may make values up."""

_MAXIMUM_PATH: Final = 2048
_LONGEST_VALUE: Final = 512
_SESSION_SHOWN: Final = 8
_UNKNOWN: Final = -1.0

_PLAIN: Final = bytes(each if 0x20 <= each < 0x7F and each not in b'"\\' else ord("x") for each in range(256))
"""Changes what JSON does not show as it is."""
_PLAIN_PATH: Final = _PLAIN.replace(b"?", b"x")
"""Changes a query's beginning, too."""

_THOUSANDTHS: Final = tuple(b'%03dZ",' % number for number in range(1000))
_TENTHS: Final = tuple(b"%.1f" % (number / 10) for number in range(2000))
"""Milliseconds as text up to 200: formatting a float costs more than the rest of a field."""


_LINE_FEED: Final = 0x0A
_NO_PARTS_OF_TIME: Final = b',"connector_ms":null,"backend_ms":null,"sso_ms":null,"retries":'


def _milliseconds(seconds: float) -> bytes:
    if seconds == _UNKNOWN:
        return b"null"
    tenths = int(seconds * 10_000)
    if 0 <= tenths < 2000:
        return _TENTHS[tenths]
    return f"{seconds * 1000:.1f}".encode() if seconds >= 0 else b"null"


def _parts_of_time(transaction: Transaction) -> bytes:
    t = transaction
    if t.connector_time == t.backend_time == t.sso_time == _UNKNOWN:
        return _NO_PARTS_OF_TIME
    return b',"connector_ms":%b,"backend_ms":%b,"sso_ms":%b,"retries":' % (
        _milliseconds(t.connector_time),
        _milliseconds(t.backend_time),
        _milliseconds(t.sso_time),
    )


class _Values:
    """JSON texts of values that come again and again: users, hosts, browsers."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str | bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._known)

    def text(self, value: str | bytes) -> bytes:
        """The value in JSON, cut if it is very long; C{null} if it is empty."""
        known = self._known.get(value)
        return known if known is not None else self._enter(value)

    def _enter(self, value: str | bytes) -> bytes:
        cut = value[:_LONGEST_VALUE]
        shown = cut if isinstance(cut, str) else cut.decode("utf-8", "replace")
        if len(self._known) >= MAXIMUM_REMEMBERED:
            self._known.clear()
        made = quoted(shown).encode() if shown else b"null"
        if len(value) <= _LONGEST_VALUE:
            self._known[value] = made
        return made


class _Visit:
    """
    What stays the same from one request of a session to the next.

    @ivar who: text from the application to the session.
    @ivar where_from: the client's address.
    @ivar where_to: the host.
    @ivar browser: the end of a line.
    """

    __slots__ = (
        "_method",
        "_method_text",
        "application",
        "browser",
        "client_address",
        "host",
        "user",
        "user_agent",
        "where_from",
        "where_to",
        "who",
    )

    def __init__(self, transaction: Transaction, values: _Values) -> None:
        t = transaction
        self.application, self.user, self.client_address = t.application, t.user, t.client_address
        self.host, self.user_agent = t.host, t.user_agent
        self._method = self._method_text = b""
        self.who = b'","application":%b,"user":%b,"session":%b,' % (
            values.text(t.application),
            values.text(t.user),
            values.text(t.session[:_SESSION_SHOWN]),
        )
        self.where_from = b'"client_address":%b,"method":' % values.text(t.client_address)
        self.where_to = b',"host":%b,"path":"' % values.text(t.host)
        self.browser = b',"user_agent":%b}\n' % values.text(t.user_agent)

    def method(self, method: bytes, values: _Values) -> bytes:
        """The method in JSON; mostly that of the last request."""
        if method != self._method or not method:
            self._method, self._method_text = method, values.text(method)
        return self._method_text

    def fits(self, transaction: Transaction) -> bool:
        """Whether a request has the same facts."""
        return (
            self.application == transaction.application
            and self.user == transaction.user
            and self.client_address == transaction.client_address
            and self.host == transaction.host
            and self.user_agent == transaction.user_agent
        )

    @property
    def is_short(self) -> bool:
        """Whether it is worth the memory: a client may make up values of any length."""
        return len(self.host) <= _LONGEST_VALUE and len(self.user_agent) <= _LONGEST_VALUE


class _Way:
    """The way that requests take through one tunnel."""

    __slots__ = ("connector", "group", "text")

    def __init__(self, transaction: Transaction, values: _Values) -> None:
        self.connector, self.group = transaction.connector, transaction.connector_group
        self.text = b'"connector":%b,"connector_group":%b,"tunnel":%b,' % (
            values.text(self.connector),
            values.text(self.group),
            values.text(transaction.tunnel),
        )


class _Outcome:
    """How requests with one status end."""

    __slots__ = ("error", "protocol", "reason", "text")

    def __init__(self, transaction: Transaction, values: _Values) -> None:
        t = transaction
        self.error, self.reason, self.protocol = t.error, t.reason, t.protocol
        self.text = b'","status":%d,"error":%b,"reason":%b,"protocol":%b,"bytes_in":' % (
            t.status,
            values.text(t.error),
            values.text(t.reason),
            values.text(t.protocol),
        )


class AccessFormat:
    """
    Turns transactions into lines.

    Most of a line stood in an earlier one: of the same session, through the same connector, with the
    same status. Each of these parts is remembered as text, and compared before it is used again.

    @param daemon: which of ours it is, e.g. C{edge}.
    @param query_strings: whether paths keep their query; they carry secrets.
    """

    def __init__(self, daemon: str, query_strings: bool = False) -> None:
        self._begin = (
            b'"level":"info","event":"access","daemon":%b,"message":"request","transaction_id":"'
            % (quoted(daemon).encode())
        )
        self._query_strings = query_strings
        self._plain = _PLAIN if query_strings else _PLAIN_PATH
        self._values = _Values()
        self._visits: dict[str, _Visit] = {}
        self._ways: dict[str, _Way] = {}
        self._outcomes: dict[int, _Outcome] = {}
        self._second = -1
        self._second_text = b""

    def line(self, transaction: Transaction) -> bytes:
        """The transaction's line, with its line feed."""
        t = transaction
        second = int(t.started)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime('{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second)).encode()
        visit = self._visit(t)
        # One literal: a sixth cheaper than a template. The parts bring what stands between them.
        return b'%b%b%b%b%b%b%b%b%b%b%b%b,"bytes_out":%d,"duration_ms":%b,"first_byte_ms":%b%b%b%b' % (
            self._second_text,
            _THOUSANDTHS[int(t.started * 1000) % 1000],
            self._begin,
            t.id.encode(),
            visit.who,
            self._way(t),
            visit.where_from,
            visit.method(t.method, self._values),
            visit.where_to,
            self._path(t.target),
            self._outcome(t),
            b"0" if not t.bytes_in else b"%d" % t.bytes_in,
            t.bytes_out,
            _milliseconds(t.duration),
            _milliseconds(t.first_byte),
            _parts_of_time(t),
            b"0" if not t.retries else b"%d" % t.retries,
            visit.browser,
        )

    def _visit(self, transaction: Transaction) -> _Visit:
        known = self._visits.get(transaction.session)
        if known is not None and known.fits(transaction):
            return known
        made = _Visit(transaction, self._values)
        if made.is_short:
            if len(self._visits) >= MAXIMUM_REMEMBERED:
                self._visits.clear()
            self._visits[transaction.session] = made
        return made

    def _way(self, transaction: Transaction) -> bytes:
        t = transaction
        known = self._ways.get(t.tunnel)
        if known is None or known.connector != t.connector or known.group != t.connector_group:
            if len(self._ways) >= MAXIMUM_REMEMBERED:
                self._ways.clear()
            known = self._ways[t.tunnel] = _Way(t, self._values)
        return known.text

    def _outcome(self, transaction: Transaction) -> bytes:
        t = transaction
        known = self._outcomes.get(t.status)
        if (
            known is None
            or known.error != t.error
            or known.reason != t.reason
            or known.protocol != t.protocol
        ):
            # A status has three digits: there are no more of them than can be kept.
            known = self._outcomes[t.status] = _Outcome(t, self._values)
        return known.text

    def _path(self, target: bytes) -> bytes:
        """What stands between the quotes."""
        if len(target) <= _MAXIMUM_PATH and target.translate(self._plain) == target:
            return target
        shown = (target if self._query_strings else target.partition(b"?")[0])[:_MAXIMUM_PATH]
        if shown.translate(_PLAIN) == shown:
            return shown
        return quoted(shown.decode("utf-8", "replace"))[1:-1].encode()


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
        # Of the writing thread.
        self._is_torn = False

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
        if self._is_torn:
            # A full disk took a part of a line: its rest is lost, and the next line is one of its own.
            chunk = b"\n" + chunk
        done = 0
        try:
            while done < len(chunk):
                done += os.write(self._descriptor, memoryview(chunk)[done:])
        finally:
            if done:
                self._is_torn = chunk[done - 1] != _LINE_FEED

    def _open(self, path: str) -> None:
        self._reopen = self._is_torn = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def access_line(transaction: Transaction, daemon: str = "edge") -> bytes:
    """One transaction's line, without its query; L{AccessFormat} is faster for many."""
    return AccessFormat(daemon).line(transaction)
