"""
C{python -m tests.fuzz [--seconds N | --runs N] [--seed N] [--folder F] [NAMES]}: see C{make fuzz}.

Ends with 1 if a promise was broken; the inputs are named. To try one again: C{--try FILE NAME}.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import atheris

# Before what is to be instrumented: a finder of ours (appproxy.form) would come before that of atheris.
import appproxy

ROOT: Final = Path(appproxy.__file__).parents[1]

with atheris.instrument_imports(include=["appproxy", "tests"], enable_loader_override=False):
    from tests.fuzz.run import Length, fuzz
    from tests.fuzz.targets import NAMES, load

_USUAL_SECONDS: Final = 600


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=_USUAL_SECONDS, help="for each target")
    parser.add_argument("--runs", type=int, default=-1, help="for each target, instead of seconds")
    parser.add_argument("--seed", type=int, default=0, help="the same runs again, from the same folder")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="what was learnt and found")
    parser.add_argument("--try", type=Path, dest="again", metavar="FILE", help="only this input")
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(NAMES))
    asked = parser.parse_args(arguments)
    names = asked.names or list(NAMES)
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no target is named {' '.join(unknown)}; there are {' '.join(NAMES)}")
    with atheris.instrument_imports(include=["appproxy", "tests"], enable_loader_override=False):
        targets = [load(name) for name in names]
    if asked.again is not None:
        for target in targets:
            target.run(asked.again.read_bytes())
        return 0
    length = Length(0 if asked.runs >= 0 else asked.seconds, asked.runs)
    broken: list[str] = []
    for number, target in enumerate(targets, 1):
        tell(f"{target.name} ({number} of {len(targets)}), {len(target.seeds)} seeds")
        begun = time.monotonic()
        for path in fuzz(target, asked.folder / target.name, length, asked.seed):
            broken.append(f"{target.name}: {path}")
            tell(f"BROKEN: {path}")
        tell(f"{target.name}: {time.monotonic() - begun:.0f} seconds")
    for each in broken:
        tell(f"BROKEN {each}")
    return 1 if broken else 0


def tell(message: str) -> None:
    """A message between the fuzzer's own."""
    print(f"== {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
