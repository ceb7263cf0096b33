"""Tests of L{appproxy.observe.access_log}."""

from __future__ import annotations

import json
import os
import re
import resource
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe import access_log
from appproxy.observe.access_log import (
    GATHER_BYTES,
    MAXIMUM_REMEMBERED,
    AccessFormat,
    LineWriter,
    access_line,
)
from appproxy.observe.transaction import Transaction

FIELDS = re.findall(
    r"\w+",
    """
    time level event daemon message transaction_id application user session connector connector_group tunnel
    client_address method host path status error reason protocol bytes_in bytes_out duration_ms first_byte_ms
    connector_ms backend_ms sso_ms retries user_agent
    """,
)


def transaction(**values: object) -> Transaction:
    """A request with some facts."""
    made = Transaction(
        "01ARYZ6S41TSV4RRFFQ69G5FAV", 1469918176.385, "2001:db8::1", b"GET", b"wiki.example", b"/a?b=c"
    )
    for name, value in values.items():
        setattr(made, name, value)
    return made


few_texts = st.sampled_from(["", "a", "b", 'q"\\', "\x7f\n\u20ac"])
few_bytes = st.sampled_from([b"", b"a", b"b", b'q"\\', b"\x7f\n\xe2\x82\xac\xff", b"x" * 600])
targets = st.sampled_from(
    [b"/", b"/a?b=c", b"/\xc3\xa4?", b'/"\\', b"/\x00\x1f\x7f", b"/" * 3000]
) | st.binary(max_size=20)
times = st.sampled_from([-1.0, 0.0, 0.19996, 0.2, 7.5]) | st.floats(-1, 1e6)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """A request whose facts are often those of another one."""
    values: dict[str, object] = {
        name: draw(few_texts)
        for name in ("application", "user", "connector", "connector_group", "tunnel", "error", "reason")
    }
    values |= {name: draw(few_texts) for name in ("protocol", "client_address")}
    values |= {name: draw(few_bytes) for name in ("method", "host", "user_agent")}
    values |= {
        name: draw(times) for name in ("duration", "first_byte", "connector_time", "backend_time", "sso_time")
    }
    values |= {name: draw(st.sampled_from([0, 1, 200, 404])) for name in ("status", "bytes_in", "retries")}
    return transaction(
        session=draw(st.sampled_from(["", "12345678a", "12345678b"])),
        target=draw(targets),
        bytes_out=draw(st.integers(0, 1 << 60)),
        started=draw(st.floats(0, 4e9)),
        **values,
    )


def facts(of: Transaction, queries: bool) -> dict[str, object]:
    """What a line says, as the manual has it."""

    def known(value: str | bytes) -> str | None:
        cut = value[:512]
        return (cut if isinstance(cut, str) else cut.decode("utf-8", "replace")) or None

    def milliseconds(seconds: float) -> float | None:
        """Below 200 ms cut, above rounded."""
        tenths = int(seconds * 10_000)
        if tenths < 0:
            return None
        return float(f"{tenths / 10:.1f}" if tenths < 2000 else f"{seconds * 1000:.1f}")

    path = of.target if queries else of.target.partition(b"?")[0]
    moment = datetime.fromtimestamp(int(of.started), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "time": f"{moment}.{int(of.started * 1000) % 1000:03d}Z",
        "level": "info",
        "event": "access",
        "daemon": "edge",
        "message": "request",
        "transaction_id": of.id,
        "application": known(of.application),
        "user": known(of.user),
        "session": known(of.session[:8]),
        "connector": known(of.connector),
        "connector_group": known(of.connector_group),
        "tunnel": known(of.tunnel),
        "client_address": known(of.client_address),
        "method": known(of.method),
        "host": known(of.host),
        "path": path[:2048].decode("utf-8", "replace"),
        "status": of.status,
        "error": known(of.error),
        "reason": known(of.reason),
        "protocol": known(of.protocol),
        "bytes_in": of.bytes_in,
        "bytes_out": of.bytes_out,
        "duration_ms": milliseconds(of.duration),
        "first_byte_ms": milliseconds(of.first_byte),
        "connector_ms": milliseconds(of.connector_time),
        "backend_ms": milliseconds(of.backend_time),
        "sso_ms": milliseconds(of.sso_time),
        "retries": of.retries,
        "user_agent": known(of.user_agent),
    }


class AccessLineTests(SynchronousTestCase):
    """One request, one line."""

    def test_all_fields(self) -> None:
        """Every field of the manual is in every line, in one order, null where it does not apply."""
        line = access_line(transaction())
        self.assertTrue(line.endswith(b"}\n"))
        self.assertEqual(list(json.loads(line)), FIELDS)
        self.assertIsNone(json.loads(line)["user"])
        self.assertIsNone(json.loads(line)["sso_ms"])

    def test_values(self) -> None:
        """Values stand there as they were given, durations in milliseconds, the session shortened."""
        shown = json.loads(
            access_line(
                transaction(
                    session="0123456789abcdef",
                    user="ada@example.com",
                    status=502,
                    error="BadGateway",
                    reason="backend_refused",
                    duration=1.5,
                    first_byte=0.0423,
                    backend_time=0.0,
                    bytes_out=1 << 40,
                )
            )
        )
        expected = {
            "time": "2016-07-30T22:36:16.385Z",
            "level": "info",
            "event": "access",
            "daemon": "edge",
            "session": "01234567",
            "user": "ada@example.com",
            "status": 502,
            "error": "BadGateway",
            "reason": "backend_refused",
            "duration_ms": 1500.0,
            "first_byte_ms": 42.3,
            "backend_ms": 0.0,
            "bytes_out": 1 << 40,
            "client_address": "2001:db8::1",
            "method": "GET",
            "host": "wiki.example",
        }
        self.assertEqual({name: shown[name] for name in expected}, expected)

    def test_query(self) -> None:
        """Queries carry secrets: they are shown only where that was asked for."""
        self.assertEqual(json.loads(access_line(transaction()))["path"], "/a")
        shown = AccessFormat("edge", query_strings=True).line(transaction())
        self.assertEqual(json.loads(shown)["path"], "/a?b=c")

    def test_bounded(self) -> None:
        """No client makes a line of more than some kilobytes, nor fills the memory with names."""
        form = AccessFormat("edge")
        line = form.line(
            transaction(
                target=b"/" * 100_000, user_agent=b"x" * 100_000, host=b"h" * 9000, method=b"M" * 9000
            )
        )
        self.assertLess(len(line), 8192)
        for number in range(20_000):
            form.line(transaction(user_agent=b"agent %d" % number))
        self.assertLessEqual(len(form._values), MAXIMUM_REMEMBERED)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60), st.text(max_size=60), st.floats(-1, 1e6))
    def test_always_json(self, raw: bytes, text: str, seconds: float) -> None:
        """Whatever a client sends, a line is one line of ASCII JSON with the same fields."""
        line = AccessFormat(text, query_strings=True).line(
            transaction(
                target=raw,
                host=raw,
                user_agent=raw,
                method=raw,
                user=text,
                application=text,
                reason=text,
                client_address=text,
                protocol=text,
                duration=seconds,
                backend_time=seconds,
            )
        )
        self.assertEqual(line.count(b"\n"), 1)
        self.assertTrue(line.isascii())
        shown = json.loads(line)
        self.assertEqual(list(shown), FIELDS)
        self.assertEqual(shown["user"], text or None)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(transactions(), min_size=1, max_size=30), st.booleans())
    def test_like_json(self, ended: list[Transaction], queries: bool) -> None:
        """Whatever was remembered of earlier ones, each line is what JSON makes of its own facts."""
        form = AccessFormat("edge", query_strings=queries)
        for each in ended:
            expected = json.dumps(facts(each, queries), separators=(",", ":")) + "\n"
            self.assertEqual(form.line(each).decode(), expected)

    def test_many_sessions(self) -> None:
        """What is remembered of sessions and tunnels has a bound too."""
        form = AccessFormat("edge")
        for number in range(MAXIMUM_REMEMBERED + 10):
            form.line(transaction(session=f"session {number}", tunnel=f"{number}"))
        self.assertLessEqual(max(len(form._visits), len(form._ways)), MAXIMUM_REMEMBERED)
        form.line(transaction(session="greedy", user_agent=b"x" * 60_000))
        self.assertNotIn("greedy", form._visits)

    def test_many_seconds(self) -> None:
        """The second's text, which is kept, changes with the second."""
        form = AccessFormat("edge")
        times = [
            json.loads(form.line(transaction(started=started)))["time"]
            for started in (0.0, 1.9996, 1.0, 86400)
        ]
        self.assertEqual(
            times,
            [
                "1970-01-01T00:00:00.000Z",
                "1970-01-01T00:00:01.999Z",
                "1970-01-01T00:00:01.000Z",
                "1970-01-02T00:00:00.000Z",
            ],
        )


class LineWriterTests(SynchronousTestCase):
    """Lines that reach the disk without making anybody wait."""

    def setUp(self) -> None:
        self.path = self.mktemp()

    def writer(self, schedule: Callable[[Callable[[], None]], None] | None = None) -> LineWriter:
        """A writer to the test's file."""
        writer = LineWriter(self.path, schedule)
        self.addCleanup(writer.stop)
        return writer

    def written(self) -> bytes:
        """What is in the file."""
        return Path(self.path).read_bytes()

    def test_order(self) -> None:
        """All lines arrive, in order, appended to what was there."""
        Path(self.path).write_bytes(b"before\n")
        writer = self.writer()
        lines = [b"line %d\n" % number for number in range(1000)]
        for line in lines:
            writer.write(line)
        writer.stop()
        self.assertEqual(self.written(), b"before\n" + b"".join(lines))
        self.assertEqual(writer.dropped, 0)

    def test_gathered(self) -> None:
        """With a schedule, lines are handed over together, and at once when they are many."""
        scheduled: list[Callable[[], None]] = []
        writer = self.writer(scheduled.append)
        for _ in range(10):
            writer.write(b"x\n")
        self.assertEqual(len(scheduled), 1)
        self.assertFalse(os.path.exists(self.path))
        scheduled.pop()()
        writer.write(b"y\n")
        self.assertEqual(len(scheduled), 1)
        writer.write(b"z" * GATHER_BYTES)
        self.assertEqual(len(scheduled), 1)
        writer.stop()
        self.assertEqual(self.written(), b"x\n" * 10 + b"y\n" + b"z" * GATHER_BYTES)
        scheduled.pop()()

    def test_any_thread(self) -> None:
        """Events come from any thread; none is lost, and each stays whole."""
        writer = self.writer(lambda call: self.fail("scheduled"))

        def log(name: int) -> None:
            for number in range(500):
                writer.write_now(b"%d %d\n" % (name, number))

        threads = [threading.Thread(target=log, args=(name,)) for name in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        writer.stop()
        lines = self.written().splitlines()
        self.assertEqual(sorted(lines), sorted(b"%d %d" % (a, b) for a in range(4) for b in range(500)))

    def test_starts_again(self) -> None:
        """A writer that was stopped takes lines again."""
        writer = self.writer()
        writer.write(b"a\n")
        writer.stop()
        writer.write(b"b\n")
        writer.stop()
        writer.stop()
        self.assertEqual(self.written(), b"a\nb\n")

    def test_never_waits(self) -> None:
        """When nobody takes the lines, memory stays bounded, writing goes on, and the loss is counted."""
        reading, writing = os.pipe()
        writer = LineWriter(writing)
        line = b"x" * 65535 + b"\n"
        for _ in range(300):
            writer.write(line)
        self.assertGreater(writer.dropped, 0)
        kept = 300 - writer.dropped
        self.assertLessEqual(kept * len(line), access_log.MAXIMUM_PENDING + 2 * len(line))
        received: list[int] = []

        def drain() -> None:
            while part := os.read(reading, 1 << 20):
                received.append(len(part))

        thread = threading.Thread(target=drain)
        thread.start()
        writer.stop()
        os.close(writing)
        thread.join()
        os.close(reading)
        self.assertEqual(sum(received), kept * len(line))

    def test_full_disk(self) -> None:
        """What the disk refuses is lost and counted; what comes after works."""
        writer = LineWriter("/dev/full")
        writer.write(b"a\n")
        writer.stop()
        self.assertEqual(writer.dropped, 1)
        writer = self.writer()
        os.mkdir(self.path)
        writer.write(b"a\n")
        writer.stop()
        os.rmdir(self.path)
        writer.write(b"b\n")
        writer.stop()
        self.assertEqual((writer.dropped, self.written()), (1, b"b\n"))

    def test_torn_line(self) -> None:
        """What the disk took of a line, when it was full, is not continued by the next one."""
        writer = self.writer()
        writer.write(b"abc\n")
        writer.stop()
        room = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, room[1]))
        try:
            writer.write(b"defg\n")
            writer.write(b"hij\n")
            writer.stop()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, room)
        self.assertEqual((writer.dropped, self.written()), (2, b"abc\nde"))
        writer.write(b"klm\n")
        writer.write(b"nop\n")
        writer.stop()
        self.assertEqual(self.written(), b"abc\nde\nklm\nnop\n")

    def test_rotated(self) -> None:
        """After a rotation and L{LineWriter.reopen} lines go to the new file."""
        writer = self.writer()
        writer.write(b"a\n")
        writer.stop()
        os.rename(self.path, self.path + ".1")
        writer.reopen()
        writer.write(b"b\n")
        writer.stop()
        self.assertEqual(Path(self.path + ".1").read_bytes(), b"a\n")
        self.assertEqual(self.written(), b"b\n")
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o640 & ~_umask())

    def test_fork(self) -> None:
        """A daemon that forks after its first line goes on writing in the child."""
        writer = self.writer()
        writer.write(b"parent\n")
        writer.stop()
        child = os.fork()
        if child == 0:
            writer.write(b"child\n")
            writer.stop()
            os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(self.written(), b"parent\nchild\n")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
