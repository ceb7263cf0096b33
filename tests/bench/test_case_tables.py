"""The tables of memory, fairness and WebSockets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench import fairness, memory, websockets


class TableTests(SynchronousTestCase):
    """Markdown of results."""

    def test_memory(self) -> None:
        """Bytes of a connection, and what others noticed."""
        activity = {"p99_ms": 2.0, "mb_per_second": 300.0}
        row = {"bytes_each": {"edge": 20480.0, "connector": 1024.0}, "alone": activity, "beside": activity}
        text = memory.lines({"idle": row})[-1]
        self.assertIn("| 20.0 KiB | 1.0 KiB | 2.0, 2.0 ms | 300, 300 MB/s |", text)

    def test_fairness(self) -> None:
        """A row for each number of downloads."""
        row = {"bulk_mb_per_second": 0.0, "p50_ms": 1.0, "p99_ms": 2.0, "late_p99_ms": 0.5}
        self.assertEqual(fairness.lines({"0": row})[-1], "| 0 | 0 MB/s | 1.0 ms | 2.0 ms | 0.5 ms |")

    def test_websockets(self) -> None:
        """The CPU of both processes is added up."""
        row = {
            "messages_per_second": 13000.0,
            "p50_ms": 4.0,
            "p99_ms": 9.0,
            "cpu_us_by_role": {"edge": 30.0, "connector": 19.0},
        }
        self.assertEqual(
            websockets.lines({"appproxy": row})[-1],
            "| appproxy | 13,000 | 4.0, 9.0 ms | 49.0 us (edge 30.0, connector 19.0) |",
        )
