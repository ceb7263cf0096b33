"""
C{python -m bench.packet_line}: a line for packets, with loss: as C{tc netem}, also where the kernel has none.

It is a TUN device with this process behind it. A connection to L{FAR} goes into the device; here source
and destination of each packet change places, so that it comes back as a connection I{from}
L{FAR} to L{NEAR}, where the servers listen. Checksums stay right, since they are sums. In between a
packet waits: in a queue of the line's length, which drops what does not fit (drop-tail), then for the delay.
So both ends are the kernel's own TCP, with its congestion control, its retransmissions and its send buffer.

The device wants CAP_NET_ADMIN over a network namespace: L{namespace_command} says how to get one of our own.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import select
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from bench.bottleneck import Bottleneck
from bench.line_options import add_shape, shape_of
from bench.processes import run

NEAR: Final = "10.99.0.1"
"""The address of the device: servers listen there."""

FAR: Final = "10.99.0.2"
"""Whoever connects to it gets to L{NEAR}, the long way."""

DEVICE: Final = "line0"
NETWORK: Final = "10.99.0.0/24"
_MTU: Final = 1500
_ROOM: Final = 65536
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_TCP: Final = 6
_SOURCE: Final = slice(12, 16)
_DESTINATION: Final = slice(16, 20)


def namespace_command() -> Sequence[str]:
    """What to put before a command that is to run in a network namespace of its own."""
    user = () if os.geteuid() == 0 else ("--user", "--map-current-user", "--keep-caps")
    return ("unshare", *user, "--net", "--")


def turned(packet: bytes) -> bytes:
    """An IPv4 packet with source and destination exchanged."""
    return packet[:12] + packet[_DESTINATION] + packet[_SOURCE] + packet[20:]


def goes_up(packet: bytes, servers: frozenset[int]) -> bool | None:
    """
    Whether a packet goes from who dialled to a server.

    @param servers: ports.
    @return: L{None} for what is not TCP over IPv4.
    """
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != _TCP:
        return None
    start = (packet[0] & 15) * 4
    (port,) = struct.unpack_from(">H", packet, start + 2)
    return port in servers


class Wire:
    """
    One direction: packets that are under way.

    @ivar dropped: packets that found no room.
    @ivar carried: those that did.
    """

    def __init__(self, bottleneck: Bottleneck) -> None:
        self._bottleneck = bottleneck
        self._under_way: deque[tuple[float, bytes]] = deque()
        self.dropped = self.carried = 0

    def send(self, packet: bytes, now: float) -> None:
        """A packet enters, or is lost."""
        arrival = self._bottleneck.enter(len(packet), now)
        if arrival is None:
            self.dropped += 1
            return
        self.carried += 1
        self._under_way.append((arrival, packet))

    def arrived(self, now: float) -> list[bytes]:
        """What has arrived by now."""
        packets = []
        while self._under_way and self._under_way[0][0] <= now:
            packets.append(self._under_way.popleft()[1])
        return packets

    @property
    def next_arrival(self) -> float:
        """When to ask again."""
        return self._under_way[0][0] if self._under_way else float("inf")


def open_device() -> int:
    """
    Make the device, with its address.

    @return: its file descriptor.
    @raise OSError: without the right to, or without a TUN driver.
    """
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    run(("ip", "link", "set", "lo", "up"))
    run(("ip", "address", "add", f"{NEAR}/24", "dev", DEVICE))
    run(("ip", "link", "set", DEVICE, "mtu", str(_MTU), "txqueuelen", "10000", "up"))
    return device


def carry(device: int, up: Wire, down: Wire, servers: frozenset[int]) -> None:
    """Carry packets, for ever."""
    poller = select.epoll()
    poller.register(device, select.EPOLLIN)
    while True:
        now = time.monotonic()
        due = min(up.next_arrival, down.next_arrival)
        poller.poll(None if due == float("inf") else max(0.0, due - now))
        _take_in(device, up, down, servers)
        now = time.monotonic()
        for packet in (*up.arrived(now), *down.arrived(now)):
            _give(device, packet)


def _take_in(device: int, up: Wire, down: Wire, servers: frozenset[int]) -> None:
    """Every packet that the kernel has sent."""
    now = time.monotonic()
    while True:
        try:
            packet = os.read(device, _ROOM)
        except BlockingIOError:
            return
        upwards = goes_up(packet, servers)
        if upwards is not None:
            (up if upwards else down).send(turned(packet), now)


def _give(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError as error:
        # Nobody guarantees that a packet arrives.
        print(f"the kernel did not take a packet: {error}", file=sys.stderr)


def main() -> None:
    """Until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m bench.packet_line")
    parser.add_argument("servers", nargs="+", type=int, metavar="PORT")
    add_shape(parser)
    options = parser.parse_args()
    shape = shape_of(options)
    device = open_device()
    signal.signal(signal.SIGTERM, _end)
    print("ready", flush=True)
    up, down = Wire(shape.bottleneck()), Wire(shape.bottleneck())
    try:
        carry(device, up, down, frozenset(options.servers))
    finally:
        print(json.dumps({"carried": up.carried + down.carried, "dropped": up.dropped + down.dropped}))


def _end(*_: Any) -> None:
    sys.exit()


if __name__ == "__main__":
    main()
