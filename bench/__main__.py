"""
C{python -m bench}: see C{bench/README.md}.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from bench import comparison
from bench.document import write_document
from bench.prepare import prepare
from bench.processes import BenchError
from bench.report import load_section
from bench.results import keep
from bench.rounds import tell
from bench.rows import ratio_line
from bench.section import Section

USAGE: Final = """\
python -m bench quick          the ratio to nginx, in less than a minute
python -m bench all            everything but growth, into docs/performance.md: about five minutes
python -m bench CASE...        single ones: bulk, or loads such as 1k-64, 64k-8, 1k-64-renewed
python -m bench NAME...        single measurements: budget, growth, websockets, line, fairness, memory"""

ONES: Final = ("websockets", "line", "fairness", "memory", "budget", "growth")
"""Modules of this folder with a function C{section(folder)}, which measures."""

OF_ALL: Final = ("websockets", "line", "fairness", "memory", "budget")
"""Those that C{all} has time for."""


def main(arguments: Sequence[str]) -> int:
    """
    Run what the command line says.

    @return: the exit code.
    """
    # Systems are stopped by what stands behind `with`, also when a script ends this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="appproxy-bench-"))
    try:
        _check(arguments)
        prepare()
        return _run(arguments, folder)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(arguments: Sequence[str]) -> None:
    known = ("quick", "all", *ONES)
    wrong = [each for each in arguments if each not in known and not comparison.is_case(each)]
    if wrong:
        raise BenchError(f"unknown: {' '.join(wrong)}\n{USAGE}")
    if not arguments:
        raise BenchError(f"say what\n{USAGE}")


def _run(arguments: Sequence[str], folder: Path) -> int:
    if "quick" in arguments:
        section = load_section(comparison.quick(folder))
        _finish(section)
    elif "all" in arguments:
        section = load_section(comparison.full(folder))
        kept = keep([section, *_measure(OF_ALL, folder)])
        write_document(kept)
        _show([section])
        _finish(section)
    else:
        _single(arguments, folder)
    return 0


def _single(arguments: Sequence[str], folder: Path) -> None:
    cases = [each for each in arguments if each not in ONES]
    if cases:
        _show([load_section(comparison.some(folder, cases))])
    keep(_measure([each for each in arguments if each in ONES], folder))


def _measure(names: Sequence[str], folder: Path) -> list[Section]:
    """Single measurements; one that cannot be made is said to be missing."""
    sections = []
    for name in names:
        tell(f"measuring {name}")
        try:
            section: Section = import_module(f"bench.{name}").section(folder / name)
        except (BenchError, ModuleNotFoundError) as error:
            tell(f"without {name}: {error}")
            continue
        _show([section])
        sections.append(section)
    return sections


def _show(sections: Sequence[Section]) -> None:
    for section in sections:
        print("\n".join(["", section.title, "", *section.lines]), flush=True)


def _finish(section: Section) -> None:
    noisy = section.values["noise"]
    print(f"\nNOISY: {noisy}" if noisy else "\nThe machine was quiet.")
    print(ratio_line(section.values["ratio"]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
