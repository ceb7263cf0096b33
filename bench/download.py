"""
C{python -m bench.download TARGET}: downloads so many bytes, or until C{SIGTERM}; tells how fast.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import Any, Final

from bench.requests import Target, check_status, connect, read_target

_BUFFER: Final = 256 << 10


class Download:
    """
    Downloads, one after the other.

    @ivar received: bytes so far, heads included.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._buffer = bytearray(_BUFFER)
        self.received = 0
        self.started = time.monotonic()

    def run(self, limit: int) -> None:
        """
        Download this many bytes.

        Timed from the request on: that a tunnel needs no handshake over the line would flatter it.
        """
        while self.received < limit:
            self._once(limit)

    def _once(self, limit: int) -> None:
        with connect(self._target) as connection:
            if not self.received:
                self.started = time.monotonic()
            connection.sendall(self._target.request("Connection: close"))
            size = connection.recv_into(self._buffer)
            check_status(bytes(self._buffer[:size]))
            while size and self.received < limit:
                self.received += size
                size = connection.recv_into(self._buffer)
            self.received += size

    def result(self) -> dict[str, float]:
        """Bytes, seconds, and MB/s."""
        seconds = time.monotonic() - self.started
        return {"bytes": self.received, "seconds": seconds, "mb_per_second": self.received / seconds / 1e6}


def main() -> None:
    """One download, or one without end."""
    parser = argparse.ArgumentParser(prog="python -m bench.download")
    parser.add_argument("target")
    parser.add_argument("--bytes", type=int, default=sys.maxsize)
    options = parser.parse_args()
    download = Download(read_target(options.target))
    signal.signal(signal.SIGTERM, _stop)
    try:
        download.run(options.bytes)
    finally:
        print(json.dumps(download.result()))


def _stop(*_: Any) -> None:
    sys.exit()


if __name__ == "__main__":
    main()
