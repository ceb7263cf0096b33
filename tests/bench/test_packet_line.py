"""Promises of L{bench.packet_line}."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from bench.bottleneck import Bottleneck
from bench.packet_line import Wire, goes_up, turned

NEAR, FAR = b"\x0a\x63\x00\x01", b"\x0a\x63\x00\x02"


def checksum(data: bytes) -> int:
    """Of RFC 1071."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def packet(source_port: int, port: int, protocol: int = 6, options: bytes = b"") -> bytes:
    """An IPv4 packet with a TCP header, as the kernel hands it over."""
    size = 20 + len(options)
    head = (
        struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + 20, 1, 0, 64, protocol, 0) + NEAR + FAR + options
    )
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return head + struct.pack(">HHIIHHHH", source_port, port, 1, 2, 0x5010, 100, 0, 0)


class TurnedTests(SynchronousTestCase):
    """The change of source and destination."""

    def test_turned(self) -> None:
        """Only the two addresses change places, and the header's checksum is still right."""
        before = packet(40000, 443)
        after = turned(before)
        self.assertEqual((after[12:16], after[16:20]), (FAR, NEAR))
        self.assertEqual((after[:12], after[20:]), (before[:12], before[20:]))
        self.assertEqual(checksum(after[:20]), 0)
        self.assertEqual(turned(after), before)


class DirectionTests(SynchronousTestCase):
    """Which way a packet goes."""

    def test_directions(self) -> None:
        """Up is towards a server's port, also behind options of IP."""
        servers = frozenset({443})
        self.assertTrue(goes_up(packet(40000, 443), servers))
        self.assertTrue(goes_up(packet(40000, 443, options=b"\x01" * 8), servers))
        self.assertFalse(goes_up(packet(443, 40000), servers))

    def test_others(self) -> None:
        """What is not TCP over IPv4 is nobody's."""
        for other in (packet(40000, 443, protocol=17), b"\x60" + packet(40000, 443)[1:], b"\x45", b""):
            self.assertIsNone(goes_up(other, frozenset({443})))


class WireTests(SynchronousTestCase):
    """Packets under way."""

    def test_in_order_and_late(self) -> None:
        """Packets arrive in order, each when its time has come."""
        wire = Wire(Bottleneck(1000.0, 0.5, 100))
        wire.send(b"a" * 50, 0.0)
        wire.send(b"b" * 50, 0.0)
        self.assertAlmostEqual(wire.next_arrival, 0.55)
        self.assertEqual(wire.arrived(0.54), [])
        self.assertEqual(wire.arrived(0.56), [b"a" * 50])
        self.assertEqual(wire.arrived(9.0), [b"b" * 50])
        self.assertEqual(wire.next_arrival, float("inf"))

    def test_drops(self) -> None:
        """What does not fit is dropped, and counted."""
        wire = Wire(Bottleneck(1000.0, 0.5, 100))
        for _ in range(3):
            wire.send(b"a" * 50, 0.0)
        self.assertEqual((wire.carried, wire.dropped), (2, 1))
        self.assertEqual(len(wire.arrived(9.0)), 2)
