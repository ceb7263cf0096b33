"""Tests that hold this version's tunnel against what earlier ones said."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.tunnel.recorded import record, recordings, replay


class RecordedTests(SynchronousTestCase):
    """Every recording, in both roles."""

    def test_earlier_versions(self) -> None:
        """An edge or connector of this version understands one of every earlier version, word for word."""
        kept = recordings()
        self.assertIn("version-1", kept)
        for name, recording in kept.items():
            for role in ("opener", "acceptor"):
                self.assertEqual(replay(recording, role).seen(), recording["seen"][role], (name, role))

    def test_this_version(self) -> None:
        """The conversation is the same between two of this version."""
        seen = record()["seen"]
        for name, recording in recordings().items():
            self.assertEqual(seen, recording["seen"], name)
