"""
Becomes another program that dies with the demo: C{python -m appproxy.demo.child PARENT COMMAND...}.

The kernel ends the program when its parent is gone, however that came about
(prctl(2), PR_SET_PDEATHSIG; kept across execve). A process group of its own
keeps a terminal's ^C for the demo alone, which then stops things in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int) -> bool:
    """
    Ask the kernel to end this process together with C{parent}.

    @return: L{False} if C{parent} is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    return os.getppid() == parent


def main(arguments: Sequence[str]) -> int:
    """Never returns if all is well."""
    os.setpgid(0, 0)
    if not die_with_parent(int(arguments[0])):
        return 1
    os.execv(arguments[1], list(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
