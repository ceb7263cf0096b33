"""
C{python -m bench}: see C{bench/README.md}.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import comparison
from bench.document import write_document
from bench.prepare import prepare
from bench.processes import BenchError
from bench.report import load_section
from bench.results import keep
from bench.rows import ratio_line
from bench.section import Section
from bench.singles import OF_ALL, SINGLES, measure

USAGE: Final = """\
python -m bench quick          the ratio to nginx, in less than a minute
python -m bench all [NAME...]  beside all peers: about seven minutes
python -m bench CASE...        single loads: bulk, or such as 1k-64, 64k-8, 1k-64-renewed
python -m bench NAME...        single measurements: websockets, fairness, budget, kerberos, which are part of
                               all, and line, memory, growth, which take their time
What all and the single measurements find goes into bench/results.json and docs/performance.md."""


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
    known = ("quick", "all", *SINGLES)
    wrong = [each for each in arguments if each not in known and not comparison.is_case(each)]
    if wrong:
        raise BenchError(f"unknown: {' '.join(wrong)}\n{USAGE}")
    if not arguments:
        raise BenchError(f"say what\n{USAGE}")


def _run(arguments: Sequence[str], folder: Path) -> int:
    names = [name for name in SINGLES if name in arguments or ("all" in arguments and name in OF_ALL)]
    cases = [each for each in arguments if comparison.is_case(each)]
    main: list[Section] = []
    if "quick" in arguments:
        main = [load_section(comparison.quick(folder))]
    elif "all" in arguments:
        main = [load_section(comparison.full(folder))]
        write_document(keep(main))
    elif cases:
        main = [load_section(comparison.some(folder, cases))]
    singles = measure(names, folder)
    if singles:
        write_document(keep(singles))
    _show([*singles, *main])
    if main:
        _finish(main[0])
    return 0


def _show(sections: Sequence[Section]) -> None:
    for section in sections:
        print("\n".join(["", section.title, "", *section.lines]), flush=True)


def _finish(section: Section) -> None:
    noisy = section.values["noise"]
    print(f"\nNOISY: {noisy}" if noisy else "\nThe machine was quiet.")
    print(ratio_line(section.values["ratio"]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
