"""Ports for servers that are about to start."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from appproxy.demo.ports import BEHIND, FIRST, free_port, free_ports


class PortTests(SynchronousTestCase):
    """L{free_port}."""

    def test_ever_another(self) -> None:
        """None is given twice, though nobody listens yet, and none that Linux gives to connections."""
        ports = [*free_ports(20), free_port()]
        self.assertEqual(len(set(ports)), 21)
        self.assertTrue(all(FIRST <= port < BEHIND for port in ports))

    def test_taken(self) -> None:
        """A port on which somebody listens is left out, however often all are gone through."""
        taken = free_port()
        with socket.create_server(("127.0.0.1", taken)):
            self.assertNotIn(taken, free_ports(BEHIND - FIRST))
