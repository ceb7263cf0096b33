"""
Configuration files of the peers, from templates beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def fill(template: str, values: Mapping[str, object], file: Path) -> Path:
    """
    Write a configuration.

    @param template: its path below this folder.
    @param values: what stands for C{@NAME@}.
    @param file: where it goes; only its owner may read it, secrets may stand in it.
    @return: the same.
    @raise KeyError: if the template names something else.
    """
    text = (Path(__file__).parent / template).read_text("utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(0o600)
    file.write_text(re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text), "utf-8")
    return file
