"""
A clock that a test sets, for daemons that it starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

LIBRARY: Final = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class SetClock:
    """
    The system's clock as daemons see it; what they measure time by goes on evenly.

    @ivar environment: theirs.
    @ivar ahead: seconds before the real time.
    """

    def __init__(self, file: Path) -> None:
        """
        Right, to begin with.

        @param file: where the time is written down.
        """
        self._file = file
        self.ahead = 0
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: int) -> None:
        """So many seconds before the real time."""
        self.ahead = ahead
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n")
        new.rename(self._file)
