"""
What is compared with what, how often and for how long.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.load import Case
from bench.origin import Origin
from bench.ours import Ours
from bench.peers.apache_ssh import ApacheSsh, ApacheSshPlain
from bench.peers.envoy import Envoy, EnvoyInClear
from bench.peers.nginx import Nginx, NginxWithoutLog
from bench.peers.prepare import prepare as prepare_peers
from bench.processes import BenchError
from bench.rounds import Measured, running, tell
from bench.rows import ALONE_CASE, MAIN_CASE
from bench.system import System

CASES: Final = (
    ALONE_CASE,
    Case("1k", 8),
    MAIN_CASE,
    Case("1k", 256),
    Case("64k", 1),
    Case("64k", 64),
    Case("1k", 64, renewed=True),
)
"""What C{make bench} measures, besides the download of 1 GiB."""

CLOSE: Final = (Ours.name, Nginx.name, NginxWithoutLog.name)
"""These are measured in every case; the others, for the time that it takes, in some."""

FAR: Final = (Envoy.name, ApacheSsh.name)
FOR_FAR: Final = (ALONE_CASE, Case("64k", 64))
"""Cases for these too; for their variants there is only L{MAIN_CASE}."""

FOR_BULK: Final = (Ours.name, Nginx.name, *FAR, EnvoyInClear.name)

_ROUNDS: Final = 3
_ROUNDS_OF_MAIN_CASE: Final = 5
_SECONDS: Final = 2


def quick(folder: Path) -> Measured:
    """Less than a minute: all that the ratio to nginx is made of."""
    origin = Origin(folder / "origin")
    systems: list[System] = [Ours(folder / "ours", origin.port), Nginx(folder / "nginx", origin.port)]
    with running(folder, origin, systems) as rounds:
        rounds.warm_up()
        rounds.load(MAIN_CASE, 3, 3)
        rounds.load(ALONE_CASE, 2, 1, direct=True)
        rounds.bulk(2)
        rounds.remember_memory()
    return rounds.measured


def full(folder: Path) -> Measured:
    """Everything, beside every peer that is there."""
    _prepare_peers()
    origin = Origin(folder / "origin")
    with running(folder, origin, _close(folder, origin), _peers(folder, origin)) as rounds:
        rounds.warm_up()
        for case in CASES:
            times = _ROUNDS_OF_MAIN_CASE if case == MAIN_CASE else _ROUNDS
            rounds.load(case, times, _SECONDS, _names(case), direct=case == ALONE_CASE)
        rounds.bulk(_ROUNDS, FOR_BULK)
        rounds.remember_memory()
    return rounds.measured


def some(folder: Path, labels: Sequence[str]) -> Measured:
    """
    Single cases, beside nginx.

    @param labels: such as C{1k-64}, C{64k-8-renewed}, C{bulk}.
    @raise BenchError: if one is none.
    """
    cases = [parse_case(label) for label in labels if label != "bulk"]
    origin = Origin(folder / "origin")
    with running(folder, origin, _close(folder, origin)) as rounds:
        rounds.warm_up()
        for case in cases:
            rounds.load(case, _ROUNDS, _SECONDS, direct=case.connections == 1)
        if "bulk" in labels:
            rounds.bulk(_ROUNDS)
        rounds.remember_memory()
    return rounds.measured


def is_case(label: str) -> bool:
    """Whether this names a load or the download."""
    try:
        return label == "bulk" or bool(parse_case(label))
    except BenchError:
        return False


def parse_case(label: str) -> Case:
    """
    The reverse of L{Case.label}.

    @raise BenchError: if it is none.
    """
    size, _, rest = label.partition("-")
    connections, _, renewed = rest.partition("-")
    if size not in ("1k", "64k") or not connections.isdecimal() or renewed not in ("", "renewed"):
        raise BenchError(f"{label!r} is no load; one is called 1k-64, 64k-8 or 1k-64-renewed")
    return Case(size, int(connections), bool(renewed))


def _names(case: Case) -> Sequence[str]:
    """Who takes part; nobody named is everybody."""
    if case == MAIN_CASE:
        return ()
    return (*CLOSE, *FAR) if case in FOR_FAR else CLOSE


def _close(folder: Path, origin: Origin) -> list[System]:
    return [
        Ours(folder / "ours", origin.port),
        Nginx(folder / "nginx", origin.port),
        NginxWithoutLog(folder / "nginx-no-log", origin.port),
    ]


def _prepare_peers() -> None:
    try:
        prepare_peers()
    except BenchError as error:
        # Each that lacks something says so itself.
        tell(str(error))


def _peers(folder: Path, origin: Origin) -> list[System]:
    """Those that need more to be installed."""
    return [
        Envoy(folder / "envoy", origin.port),
        EnvoyInClear(folder / "envoy-in-clear", origin.port),
        ApacheSsh(folder / "apache-tt", origin.port),
        ApacheSshPlain(folder / "apache-n", origin.port),
    ]
