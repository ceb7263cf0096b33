"""Tests of L{appproxy.transport.exhaustion}; C{test_faults_single} has a process that can open no file."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet import tcp
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.exhaustion import NEEDED_NAMES, TELL_SECONDS, WAIT_SECONDS, watch_over


class ExhaustionTests(SynchronousTestCase):
    """What a listener says and does that can accept nobody."""

    def setUp(self) -> None:
        """A port with a log that can be read."""
        self.clock = Clock()
        self.port: Any = tcp.Port(0, Factory(), reactor=self.clock)
        self.port.connected = True
        self.reading: list[bool] = []
        self.patch(self.port, "startReading", lambda: self.reading.append(True))
        self.patch(self.port, "stopReading", lambda: self.reading.append(False))
        watch_over(self.port, self.clock)
        self.told: list[LogEvent] = []
        observer: Any = self.told.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def turn_away(self, count: int) -> None:
        """As Twisted says it."""
        log = self.port._logger
        log.info("EMFILE encountered; releasing reserved file descriptor.")
        for _ in range(count):
            log.info("EMFILE recovery: Closed socket from {address}", address="192.0.2.1")
        log.info("Re-reserving EMFILE recovery file descriptor.")

    def counts(self) -> list[int]:
        """How many were let go, line by line."""
        return [event["turned_away"] for event in self.told if event.get("event") == "no_descriptors"]

    def test_names_of_twisted(self) -> None:
        """What is used of Twisted without being promised is still there, and says what we look for."""
        self.assertTrue(hasattr(tcp.Port, NEEDED_NAMES[0]))
        self.assertTrue(hasattr(tcp, NEEDED_NAMES[1]))
        source = inspect.getsource(tcp._accept)
        for expected in ("EMFILE recovery:", "Re-reserving EMFILE", "Could not accept new", "acceptError="):
            self.assertIn(expected, source)
        self.assertIn("self._logger.namespace, self._logger.observer", inspect.getsource(tcp.Port.doRead))

    def test_seldom(self) -> None:
        """One line for all who are turned away, and the next one a minute later."""
        self.turn_away(30)
        self.turn_away(20)
        self.assertEqual(self.counts(), [30])
        self.clock.advance(TELL_SECONDS)
        self.turn_away(1)
        self.assertEqual(self.counts(), [30, 21])
        self.assertEqual(len(self.told), 2)
        self.assertEqual(self.reading, [])

    def test_waits(self) -> None:
        """Without a reserve the port lies still for a while, and then looks again."""
        self.port._logger.info("Could not accept new connection ({acceptError})", acceptError="EMFILE")
        self.assertEqual((self.reading, self.counts()), ([False], [0]))
        self.clock.advance(WAIT_SECONDS)
        self.assertEqual(self.reading, [False, True])

    def test_closed_meanwhile(self) -> None:
        """A port that was closed stays closed."""
        self.port._logger.info("Could not accept new connection ({acceptError})", acceptError="EMFILE")
        self.port.connected = False
        self.clock.advance(WAIT_SECONDS)
        self.assertEqual(self.reading, [False])
