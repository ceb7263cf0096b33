"""
C{python -m bench.unfair HOW twistd ...}: a daemon without some of the tunnel's measures for fairness (section
7 of C{docs/tunnel.md}), to show what they are good for. The product has no switch for it: constants are
replaced before the daemon starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from twisted.scripts import twistd

from appproxy.transport import socket_options
from appproxy.tunnel import outbox, protocol, stream

NO_LIMIT: Final = 1 << 30


def without_mark() -> None:
    """The kernel takes what its send buffer holds (no TCP_NOTSENT_LOWAT)."""
    _replace(socket_options, "UNSENT_BYTES", (1 << 31) - 1)


def without_turns() -> None:
    """
    One queue, first in, first out: a download's credit is all that it may put before others.

    With no mark either: where the kernel takes everything, there is nothing to wait in turns for.
    """
    without_mark()
    _replace(stream, "PROMPT_SHARE", NO_LIMIT)
    _replace(outbox, "PROMPT_ROOM", NO_LIMIT)
    _replace(outbox, "_FULL_BELOW", -NO_LIMIT)
    _replace(outbox, "_FLOOD_BELOW", -NO_LIMIT)
    _replace(protocol, "TURN_BYTES", NO_LIMIT)


WAYS: Final[Mapping[str, Callable[[], None]]] = {"without-mark": without_mark, "without-turns": without_turns}


def _replace(module: object, name: str, value: int) -> None:
    if not hasattr(module, name):
        raise RuntimeError(f"{module} has no {name} any more: nothing would be shown")
    setattr(module, name, value)


def main() -> None:
    """As twistd."""
    _, how, *sys.argv = sys.argv
    WAYS[how]()
    twistd.run()


if __name__ == "__main__":
    main()
