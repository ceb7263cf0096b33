"""
What libkrb5 reads of the process's environment.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

OWN_CONFIGURATION: Final = Path(__file__).with_name("krb5.conf")
"""A file of the package: nothing is written, so nobody can write something else."""

SYSTEM_CONFIGURATION: Final = "/etc/krb5.conf"


def prepare(environment: MutableMapping[str, str]) -> None:
    """
    Let libkrb5 read L{OWN_CONFIGURATION} before the system's file, or before what C{KRB5_CONFIG} names.

    Of a value that stands in several files, libkrb5 takes the first one's. This is to be done before the
    library is first used, and holds for the whole process; a second time changes nothing.
    """
    others = [each for each in environment.get("KRB5_CONFIG", "").split(":") if each]
    ours = str(OWN_CONFIGURATION)
    if ours in others:
        others.remove(ours)
    environment["KRB5_CONFIG"] = ":".join([ours, *(others or [SYSTEM_CONFIGURATION])])
