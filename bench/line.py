"""
A download and small requests over a real line: 40 ms there and back, 50 Mbit/s.

The line stands between edge and connector, and the download comes from the connector's side. What the line
itself allows is measured with a plain TLS server in the connector's place. Two kinds of line:

  - L{bench.delay_proxy}, which runs everywhere: with and without the tunnel's fairness (L{bench.unfair});
  - L{bench.packet_line}, where a network namespace can be made: the same with the kernel's congestion
    control and a queue that drops, as in routers.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appproxy.demo.ports import free_ports
from bench import packet_line
from bench.certificates import make_certificate
from bench.clients import ENVIRONMENT, download, downloading, last_line, module, paced
from bench.far_ours import FarOurs
from bench.line_options import LineShape, add_shape, shape_of
from bench.line_table import lines
from bench.origin import Origin
from bench.processes import BenchError, Process
from bench.processes import run as run_command
from bench.requests import Target
from bench.rounds import tell
from bench.unfair import WAYS

__all__ = ["lines", "run"]

MIB: Final = 1 << 20
RATE: Final = 10.0
"""Small requests a second: they are to find a full line, not to fill it."""

ALLOWED_WAIT_MS: Final = 150.0
"""How much longer than a round trip the P99 of small requests may be beside a download."""

LEAST_BULK: Final = 0.8
"""The least part of what plain TLS reaches."""

PACKET_SHAPES: Final = (LineShape(queue=0.040), LineShape(queue=0.250))
"""One round trip, as the rule of thumb for routers has it, and one that is far too long, as many are."""

CONGESTION: Final = ("bbr", "cubic")

_NAMESPACE_SECONDS: Final = 600.0
_STOP_SECONDS: Final = 60.0
"""It has daemons of its own to stop."""

_PLAIN_HOST: Final = "plain.localhost"

Results = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    bulk_bytes: int = 64 * MIB
    seconds: float = 20.0
    ways: Sequence[str] = tuple(WAYS)


FULL: Final = Effort()
SHORT: Final = Effort(32 * MIB, 15.0, ())


@dataclass(frozen=True)
class Route:
    """
    How to get over a line to a port.

    @ivar listen: the server's address.
    @ivar address: the address to dial instead; C{port} likewise.
    """

    listen: str
    address: str
    port: int


def measure(folder: Path, routes: Mapping[int, Route], shape: LineShape, effort: Effort) -> Results:
    """
    Measure a line that is there already.

    @param routes: over the line, for two ports: the plain server's, the edge's.
    """
    plain_port, edge_port = routes
    results: Results = {"round_trip_ms": shape.round_trip * 1e3, "queue_ms": shape.queue * 1e3}
    with _plain_server(folder, plain_port):
        route = routes[plain_port]
        results["plain"] = _both(folder, "plain TLS", _Plain(route), effort)
    origin = Origin(folder / "origin")
    route = routes[edge_port]
    ours = FarOurs(folder / "ours", origin.port, edge_port, route.listen, f"{route.address}:{route.port}")
    try:
        origin.start()
        ours.start()
        results["alone"] = _alone(folder, ours, effort)
        results["tunnel"] = _both(folder, "the tunnel", ours, effort)
        for way in effort.ways:
            ours.use(way)
            results[way] = _beside(folder, f"the tunnel {way}", ours, effort)
    finally:
        ours.stop()
        origin.stop()
    return {**results, **verdict(results)}


def verdict(results: Mapping[str, Any]) -> Results:
    """What the goals are about."""
    bulk = results["tunnel"]["bulk_mb_per_second"] / results["plain"]["bulk_mb_per_second"]
    wait = results["tunnel"]["p99_ms"] - results["round_trip_ms"]
    return {
        "bulk_of_plain": bulk,
        "p99_above_round_trip_ms": wait,
        "reached": bulk >= LEAST_BULK and wait <= ALLOWED_WAIT_MS,
    }


class _Plain:
    """What is asked of the plain server, over the line."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def target(self, size: str) -> Target:
        return Target(self._route.port, _PLAIN_HOST, f"/{size}/file", address=self._route.address)


def _both(folder: Path, what: str, asked: _Plain | FarOurs, effort: Effort) -> Results:
    """A download alone, then small requests beside another one."""
    tell(f"line: {what}, a download")
    result = download(folder, asked.target("1g"), effort.bulk_bytes)
    return {
        "bulk_mb_per_second": result["mb_per_second"],
        **_beside(folder, what, asked, effort),
    }


def _beside(folder: Path, what: str, asked: _Plain | FarOurs, effort: Effort) -> Results:
    tell(f"line: {what}, small requests beside a download")
    with downloading(folder, asked.target("1g")) as bulk:
        result = paced(folder, asked.target("1k"), RATE, effort.seconds)
    return {**result, "beside_mb_per_second": bulk["mb_per_second"]}


def _alone(folder: Path, asked: _Plain | FarOurs, effort: Effort) -> Results:
    tell("line: small requests alone")
    return paced(folder, asked.target("1k"), RATE, effort.seconds / 2)


@contextmanager
def _plain_server(folder: Path, port: int) -> Iterator[None]:
    certificate = make_certificate(folder / "plain", _PLAIN_HOST)
    command: Sequence[str | Path] = (
        *module("bench.plain_tls"),
        str(port),
        certificate.chain,
        certificate.key,
    )
    process = Process("plain_tls", command, folder, ENVIRONMENT)
    try:
        process.wait_for_port(port)
        yield
    finally:
        process.stop()


# -- the proxy


def over_proxy(folder: Path, shape: LineShape, effort: Effort) -> Results:
    """The line that runs everywhere."""
    plain, edge, to_plain, to_edge = free_ports(4)
    command = (*module("bench.delay_proxy"), *shape.arguments(), f"{to_plain}:{plain}", f"{to_edge}:{edge}")
    process = Process("delay_proxy", command, folder, ENVIRONMENT)
    try:
        process.wait_for_port(to_edge)
        routes = {
            port: Route("127.0.0.1", "127.0.0.1", at) for port, at in ((plain, to_plain), (edge, to_edge))
        }
        return measure(folder, routes, shape, effort)
    finally:
        process.stop()


# -- packets


def over_packets(folder: Path, shape: LineShape, effort: Effort, congestion: str) -> Results:
    """
    The line of packets; must run in a network namespace of its own.

    @param congestion: who controls it: a name that the kernel knows; empty for its usual one.
    @raise BenchError: if the kernel does not know it.
    """
    ports = free_ports(2)
    command = (*module("bench.packet_line"), *shape.arguments(), *map(str, ports))
    process = Process("packet_line", command, folder, ENVIRONMENT)
    try:
        process.wait_for_line("ready")
        if congestion:
            route = ("ip", "route", "replace", packet_line.NETWORK, "dev", packet_line.DEVICE)
            run_command((*route, "congctl", congestion))
        routes = {port: Route(packet_line.NEAR, packet_line.FAR, port) for port in ports}
        results = measure(folder, routes, shape, effort)
    finally:
        process.stop()
    return {"congestion": congestion, **results, **last_line(process.text)}


def _in_namespace(folder: Path, shape: LineShape, congestion: str) -> Results:
    """L{over_packets} in a new namespace; says why if that cannot be."""
    here = module("bench.line")
    command = (*packet_line.namespace_command(), *here, *shape.arguments(), "--packets", congestion)
    try:
        process = Process("namespace", command, folder, ENVIRONMENT)
    except OSError as error:
        return _missing(shape, congestion, str(error))
    try:
        process.wait_until(lambda: process.exit_code == 0, "was done", _NAMESPACE_SECONDS)
        return last_line(process.text)
    except BenchError as error:
        return _missing(shape, congestion, str(error).strip().rpartition("\n")[2])
    finally:
        process.stop(_STOP_SECONDS)


def _missing(shape: LineShape, congestion: str, why: str) -> Results:
    tell(f"line: no packets with {congestion}: {why}")
    return {"congestion": congestion, "queue_ms": shape.queue * 1e3, "missing": why}


# -- a case of the benchmark


def run(folder: Path) -> Results:
    """Measure both kinds of line."""
    return {
        "proxy": over_proxy(folder / "proxy", LineShape(), FULL),
        "packets": [_in_namespace(folder, shape, name) for shape in PACKET_SHAPES for name in CONGESTION],
    }


def main() -> None:
    """One line, for L{_in_namespace} and for curious people."""
    parser = argparse.ArgumentParser(prog="python -m bench.line")
    parser.add_argument("--packets", metavar="CONGESTION", help="in a network namespace of one's own")
    add_shape(parser)
    options = parser.parse_args()
    # What was started is stopped by what stands behind `finally` and `with`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="appproxy-bench-") as name:
        if options.packets is None:
            results = over_proxy(Path(name), shape_of(options), FULL)
        else:
            results = over_packets(Path(name), shape_of(options), SHORT, options.packets)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
