"""
Runs targets under atheris (libFuzzer), each in a process of its own, and keeps what it finds.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import atheris

from tests.fuzz.targets import Target

MAXIMUM_INPUT: Final = 4096
"""Bytes of one input: the parsers' larger bounds have tests of their own, and smaller ones go faster."""

INPUT_SECONDS: Final = 10
"""One input that takes longer is a finding: nothing here should take a hundredth of that."""

MEMORY_MIB: Final = 2048
"""A process that grows beyond is a finding: no parser's memory is without bound."""


@dataclass(frozen=True)
class Length:
    """
    How long a target runs.

    @ivar seconds: 0: no limit.
    @ivar runs: -1: no limit.
    """

    seconds: int = 0
    runs: int = -1


def fuzz(target: Target, folder: Path, length: Length, seed: int) -> list[Path]:
    """
    Run one target.

    @param folder: what was interesting so far is read from there and kept there, in C{corpus}; what
        breaks a promise in C{broken}.
    @param seed: 0: another one each time.
    @return: the inputs that were found to break a promise; empty if all is well.
    @raise RuntimeError: if the run ended early and left no input behind.
    """
    prepared = {name: folder / name for name in ("seeds", "corpus", "broken")}
    shutil.rmtree(prepared["seeds"], ignore_errors=True)
    for each in prepared.values():
        each.mkdir(parents=True, exist_ok=True)
    before = set(prepared["broken"].iterdir())
    arguments = [
        target.name,
        f"-max_len={MAXIMUM_INPUT}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_total_time={length.seconds}",
        f"-runs={length.runs}",
        f"-seed={seed}",
        "-print_final_stats=1",
        f"-artifact_prefix={prepared['broken']}/",
        f"-seed_inputs=@{_write_seeds(target, prepared['seeds'])}",
        *_dictionary(target, folder / "words"),
        str(prepared["corpus"]),
    ]
    failed = _in_child(target, arguments)
    broken = sorted(set(prepared["broken"].iterdir()) - before)
    if failed and not broken:
        raise RuntimeError(f"{target.name} ended early, and left no input behind")
    return broken


def _write_seeds(target: Target, folder: Path) -> Path:
    """The file that lists them: the order of a folder's files is not the same everywhere."""
    paths = [folder / f"{number:04}" for number in range(len(target.seeds))]
    for path, data in zip(paths, target.seeds, strict=True):
        path.write_bytes(data)
    listed = folder / "all"
    listed.write_text(",".join(map(str, paths)))
    return listed


def _dictionary(target: Target, path: Path) -> list[str]:
    """The target's words, as libFuzzer reads them; it takes no empty file."""
    if not target.words:
        return []
    lines = ['"' + "".join(f"\\x{code:02x}" for code in word) + '"\n' for word in target.words]
    path.write_text("".join(lines), "ascii")
    return [f"-dict={path}"]


def _in_child(target: Target, arguments: Sequence[str]) -> bool:
    """libFuzzer ends the process that it runs in; says whether it ended badly."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _fuzz_until_exit(target, arguments)
    return os.waitpid(child, 0)[1] != 0


def _fuzz_until_exit(target: Target, arguments: Sequence[str]) -> NoReturn:
    """
    @raise SystemExit: in any case; nobody may catch it, since the input is kept while the process exits.
    """
    atheris.Setup(list(arguments), target.run)
    atheris.Fuzz()
    raise SystemExit(1)
