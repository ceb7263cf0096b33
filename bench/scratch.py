"""
Folders for what is made once and read often.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_MEMORY: Final = "/dev/shm"
_SPARE: Final = 1 << 30
"""What must be left of memory besides."""


def scratch(size: int) -> Path:
    """
    A new folder, in memory if there is room; whoever asks removes it.

    @param size: bytes that will be put there.
    """
    room = shutil.disk_usage(_MEMORY).free if os.access(_MEMORY, os.W_OK) else 0
    return Path(tempfile.mkdtemp(prefix="appproxy-bench-", dir=_MEMORY if room > size + _SPARE else None))
