"""
C{python -m bench}: see C{bench/README.md}.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.load import Case
from bench.origin import Origin
from bench.ours import Ours
from bench.peers.nginx import Nginx
from bench.prepare import prepare
from bench.processes import BenchError
from bench.report import ratio_line, results
from bench.rounds import Rounds, running
from bench.system import System

RESULTS: Final = Path(__file__).with_name("results.json")


def quick(folder: Path) -> None:
    """Less than a minute: the ratio to nginx."""
    origin = Origin(folder / "origin")
    systems: list[System] = [Ours(folder / "ours", origin.port), Nginx(folder / "nginx", origin.port)]
    with running(origin, systems):
        rounds = Rounds(folder, origin, systems)
        rounds.warm_up()
        rounds.load(Case("1k", 64), 3, 3)
        rounds.load(Case("1k", 1), 2, 1, direct=True)
        rounds.bulk(2)
        rounds.remember_memory()
    found = results(rounds.measured)
    if found["noise"]:
        print(f"NOISY: {found['noise']}")
    print(ratio_line(found["ratio"]))


def main() -> int:
    """
    Run what the command line says.

    @return: the exit code.
    """
    folder = Path(tempfile.mkdtemp(prefix="appproxy-bench-"))
    try:
        prepare()
        quick(folder)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
