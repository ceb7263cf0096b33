"""Promises of L{bench.latencies} and of the clients' parsing."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.latencies import in_milliseconds, percentile
from bench.paced import length_of
from bench.requests import Target, check_status, read_target


class PercentileTests(SynchronousTestCase):
    """Nearest rank."""

    def test_percentiles(self) -> None:
        """Of a hundred values the 99th is the P99, of few it is the largest."""
        hundred = [float(value) for value in range(1, 101)]
        self.assertEqual(percentile(hundred, 0.99), 99.0)
        self.assertEqual(percentile(hundred, 0.5), 50.0)
        self.assertEqual(percentile(hundred, 1), 100.0)
        self.assertEqual(percentile([1.0, 2.0], 0.99), 2.0)

    def test_nonsense(self) -> None:
        """Nothing has no percentile."""
        self.assertRaises(ValueError, percentile, [], 0.5)
        self.assertRaises(ValueError, percentile, [1.0], 0.0)

    def test_in_milliseconds(self) -> None:
        """Values need no order, and seconds become milliseconds."""
        told = in_milliseconds([0.003, 0.001, 0.002])
        self.assertEqual(told, {"count": 3, "p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0})


class RequestTests(SynchronousTestCase):
    """What clients send and understand."""

    def test_request(self) -> None:
        """A GET with a cookie where there is one; written to a file and read again it is the same."""
        target = Target(8443, "app.apps.localhost", "/1k/file", "s=1")
        self.assertEqual(
            target.request("Connection: close"),
            b"GET /1k/file HTTP/1.1\r\nHost: app.apps.localhost:8443\r\nAccept: */*\r\n"
            b"Connection: close\r\nCookie: s=1\r\n\r\n",
        )
        self.assertNotIn(b"Cookie", Target(1, "h", "/").request())
        self.assertEqual(read_target(str(target.write(Path(self.mktemp())))), target)

    def test_answers(self) -> None:
        """Another status than expected ends a measurement; so does an answer without a length."""
        check_status(b"HTTP/1.1 200 OK\r\n")
        self.assertRaises(RuntimeError, check_status, b"HTTP/1.1 302 Found\r\n")
        self.assertEqual(length_of(b"HTTP/1.1 200 OK\r\nContent-LENGTH: 12\r\n\r\n"), 12)
        self.assertRaises(RuntimeError, length_of, b"HTTP/1.1 200 OK\r\n\r\n")
