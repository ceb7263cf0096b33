"""
What the tests of daemons share.
"""

from __future__ import annotations


class RecordingWriter:
    """A log's writer that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.calls: list[str] = []

    def write(self, line: bytes) -> None:
        """Keep it."""
        self.lines.append(line)

    write_now = write

    def flush(self) -> None:
        """Note it."""
        self.calls.append("flush")

    def reopen(self) -> None:
        """Note it."""
        self.calls.append("reopen")

    def stop(self) -> None:
        """Note it."""
        self.calls.append("stop")
