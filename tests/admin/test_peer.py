"""Tests of who is at the other end."""

from __future__ import annotations

import getpass
import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from appproxy.admin.peer import peer_of


class PeerTests(SynchronousTestCase):
    """The kernel's word."""

    def test_unix(self) -> None:
        """On a Unix socket the peer is known: here, this very process."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            peer = peer_of(ours)
        self.assertEqual((peer.uid, peer.pid, peer.user), (os.getuid(), os.getpid(), getpass.getuser()))

    def test_elsewhere(self) -> None:
        """On any other socket nobody is known, and that is an error."""
        with socket.socket(socket.AF_INET) as other, self.assertRaises(OSError):
            peer_of(other)
