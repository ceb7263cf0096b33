"""
C{python -m bench.peers}: starts each peer in turn, looks at what it answers, stops it.

With names behind it, only those: C{python -m bench.peers envoy}.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench.origin import SIZES, Origin
from bench.peers.apache_ssh import ApacheSsh, ApacheSshPlain
from bench.peers.envoy import Envoy, EnvoyInClear
from bench.peers.nginx import Nginx, NginxWithoutLog
from bench.peers.recorder import Recorder
from bench.peers.visitor import PATH, Visitor
from bench.prepare import prepare
from bench.processes import BenchError, cpu_seconds
from bench.system import System

PEERS: Final[Mapping[str, Callable[[Path, int], System]]] = {
    each.name: each for each in (Nginx, NginxWithoutLog, Envoy, EnvoyInClear, ApacheSsh, ApacheSshPlain)
}

_REDIRECTS: Final = (302, 303, 307)


def check(system: System) -> None:
    """
    Start a peer, ask it, stop it.

    @raise BenchError: if somebody without a session reaches the origin, or somebody with one does not.
    """
    began = time.monotonic()
    try:
        system.start()
        print(f"{system.name}: {time.monotonic() - began:.1f} s, {len(set(system.cookies))} sessions")
        for role, pids in system.pids().items():
            print(f"  {role}: processes {' '.join(map(str, pids))}, {cpu_seconds(pids):.2f} s of CPU so far")
        with Visitor(system.host, system.port) as visitor:
            if system.cookies:
                check_sessions(visitor, system)
            else:
                expect(visitor, "", (200,), "without a session")
    finally:
        system.stop()


def check_sessions(visitor: Visitor, system: System) -> None:
    """Ask without a session, with the first and the last, and with one that was tampered with."""
    expect(visitor, "", _REDIRECTS, "without a session")
    for which, cookie in (("first", system.cookies[0]), ("last", system.cookies[-1])):
        expect(visitor, cookie, (200,), f"with the {which} session")
    name, _, value = system.cookies[0].partition("=")
    expect(visitor, f"{name}={'B' if value[0] == 'A' else 'A'}{value[1:]}", _REDIRECTS, "with a forged one")


def expect(visitor: Visitor, cookie: str, statuses: tuple[int, ...], what: str) -> bytes:
    """
    One request.

    @raise BenchError: if the answer is another than expected.
    """
    reply = visitor.get(PATH, cookie)
    place = f" to {reply.location.partition('?')[0]}" if reply.location else ""
    print(f"  {what}: {reply.status}{place}, {len(reply.body)} bytes")
    if reply.status not in statuses:
        raise BenchError(f"{what}: expected {statuses}, got {reply.status}")
    if reply.status == 200 and len(reply.body) != SIZES["1k"]:
        raise BenchError(f"{what}: {len(reply.body)} bytes are not the origin's answer")
    return reply.body


def listen_in(envoy: Envoy) -> None:
    """
    Say whether an answer can be read between the two Envoys.

    @raise BenchError: if it is otherwise than its class says.
    """
    with Recorder(envoy.tunnel_port) as recorder:
        envoy.dialled_port = recorder.port
        try:
            envoy.start()
            with Visitor(envoy.host, envoy.port) as visitor:
                body = expect(visitor, envoy.cookies[0], (200,), f"{envoy.name}, listening in")
        finally:
            envoy.stop()
        seen = recorder.holds(body[:64])
        print(f"  the answer is {'in clear' if seen else 'not'} among the tunnel's {recorder.said()} bytes")
        if seen == envoy.encrypted:
            raise BenchError(f"{envoy.name}: encrypted is {envoy.encrypted}, but that is not so")


def run(names: list[str], folder: Path) -> None:
    """Check these peers."""
    origin = Origin(folder / "origin")
    origin.start()
    try:
        for number, name in enumerate(names):
            check(PEERS[name](folder / str(number), origin.port))
        for kind in (Envoy, EnvoyInClear):
            if kind.name in names:
                listen_in(kind(folder / f"recorded-{kind.__name__}", origin.port, sessions=1))
    finally:
        origin.stop()


def main(names: list[str]) -> int:
    """
    @param names: of L{PEERS}; all if there are none.
    @return: the exit code.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        print(f"bench.peers: there are {', '.join(PEERS)}; not {', '.join(unknown)}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="appproxy-bench-"))
    try:
        prepare()
        run(names or list(PEERS), folder)
    except BenchError as error:
        print(f"bench.peers: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
