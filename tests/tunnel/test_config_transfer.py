"""
Tests of L{appproxy.tunnel.config_transfer}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel.config_transfer import ConfigReceiver
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.messages import pack_long
from appproxy.tunnel.settings import TunnelSettings
from tests.tunnel.support import Pair, stream_of


class ConfigTests(SynchronousTestCase):
    """Documents of any size, among other traffic."""

    def test_sizes(self) -> None:
        """Documents of any size arrive whole, and are answered by revision."""
        pair = Pair()
        for revision, size in enumerate((0, 1, 16_319, 16_320, 16_321, 300_000), 1):
            document = bytes([revision]) * size
            pair.opener.session.send_config(revision, document)
            pair.pump()
            self.assertEqual(pair.acceptor.listener.calls[-1], ("config", revision, document))
            pair.acceptor.session.send_applied(revision)
            pair.pump()
            self.assertEqual(pair.opener.listener.calls[-1], ("applied", revision))

    def test_newest_wins(self) -> None:
        """A document that has not begun is replaced by a newer one; one under way is finished first."""
        pair = Pair()
        session = pair.opener.session
        session.send_config(1, b"a" * 100_000)
        first = pair.opener.take(20_000)
        session.send_config(2, b"b")
        session.send_config(3, b"c")
        pair.acceptor.session.receive(first)
        pair.pump()
        revisions = [call[1] for call in pair.acceptor.listener.calls if call[0] == "config"]
        self.assertEqual(revisions, [1, 3])

    def test_small_answers_pass_it(self) -> None:
        """A large document does not hold up a stream's answer."""
        pair = Pair()
        client, server = pair.exchange()
        pair.acceptor.session.send_config(1, b"a" * (8 << 20))
        pair.acceptor.take()
        stream_of(server).head(b"200")
        stream_of(server).end()
        pair.opener.session.receive(pair.acceptor.take())
        self.assertEqual(client.calls, [("head", b"200"), ("ended",)])

    def test_too_large(self) -> None:
        """A document above the announced limit is not sent, and ends the tunnel of a peer that sends it."""
        pair = Pair(acceptor=TunnelSettings(max_config=1000))
        self.assertRaises(ValueError, pair.opener.session.send_config, 1, b"x" * 1001)
        receiver = ConfigReceiver(1000)
        receiver.receive(pack_long(1) + b"x" * 600, True)
        error = self.assertRaises(TunnelError, receiver.receive, pack_long(1) + b"x" * 600, True)
        self.assertEqual(error.code, "config_size")

    def test_interrupted(self) -> None:
        """Pieces of two documents do not mix."""
        receiver = ConfigReceiver(1000)
        receiver.receive(pack_long(1) + b"x", True)
        self.assertRaises(TunnelError, receiver.receive, pack_long(2) + b"y", False)
