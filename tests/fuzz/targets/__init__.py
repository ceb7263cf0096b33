"""
The targets, a module for each: C{target(data)} and C{seeds()}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent

FOUND: Final = FOLDER.parent / "found"
"""What was found once: C{found/NAME/*}."""

NAMES: Final = tuple(sorted(each.stem for each in FOLDER.glob("*.py") if each.stem != "__init__"))


@dataclass(frozen=True)
class Target:
    """
    One parser and its promises.

    @ivar run: feeds it; raises whatever should never come.
    @ivar seeds: what is tried first, and changed.
    @ivar words: what is put in here and there (C{WORDS}).
    """

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def load(name: str) -> Target:
    """The target of this name, with what was found before among its seeds."""
    module = import_module(f"{__name__}.{name}")
    seeds: Iterable[bytes] = module.seeds()
    once = tuple(dict.fromkeys([*seeds, *found(name)]))
    return Target(name, module.target, once, getattr(module, "WORDS", ()))


def found(name: str) -> list[bytes]:
    """What once broke a promise of this target."""
    return [each.read_bytes() for each in sorted((FOUND / name).glob("*")) if each.is_file()]
