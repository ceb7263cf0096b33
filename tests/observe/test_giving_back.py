"""L{appproxy.observe.giving_back}; C{make load} shows what it gives back."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe.giving_back import LOOK_SECONDS, WORTH_IT, GivingBack

SCATTERED: Final = """
import ctypes
from appproxy.observe.giving_back import trim_function
from appproxy.observe.process import memory_bytes

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
pieces = [libc.malloc(8000) for _ in range(8000)]
for piece in pieces:
    ctypes.memset(piece, 1, 8000)
for number, piece in enumerate(pieces):
    if number % 8:
        libc.free(piece)
before = memory_bytes()
trim_function()()
print(before - memory_bytes())
"""
"""Frees 56 MB that lie between what stays."""


class GivingBackTests(SynchronousTestCase):
    """L{GivingBack}."""

    def setUp(self) -> None:
        """One that can be watched."""
        self.clock = Clock()
        self.connections = self.trims = 0
        self.giving_back = GivingBack(self.clock, lambda: self.connections, self.trim)
        self.giving_back.start()

    def trim(self) -> None:
        """Memory was given back."""
        self.trims += 1

    def with_connections(self, *counts: int) -> list[int]:
        """How often it was done after each look."""
        done = []
        for count in counts:
            self.connections = count
            self.clock.advance(LOOK_SECONDS)
            done.append(self.trims)
        return done

    def test_after_many(self) -> None:
        """Once after many ended, be it all at once or by and by, and again after as many more."""
        many = 3 * WORTH_IT
        self.assertEqual(self.with_connections(many, many, 2 * WORTH_IT, 2 * WORTH_IT), [0, 0, 1, 1])
        self.assertEqual(self.with_connections(WORTH_IT + 1, WORTH_IT, WORTH_IT), [1, 2, 2])

    def test_few(self) -> None:
        """Not for what comes and goes all day."""
        self.assertEqual(self.with_connections(5, WORTH_IT, 1, WORTH_IT - 1, 1), [0] * 5)

    def test_stop(self) -> None:
        """Nothing is left waiting."""
        self.giving_back.stop()
        self.giving_back.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TrimTests(SynchronousTestCase):
    """What the C library gives back."""

    def test_scattered(self) -> None:
        """Of what was freed, the most."""
        found = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, check=True, timeout=60)
        self.assertGreater(int(found.stdout), 20 << 20)
