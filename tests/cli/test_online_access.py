"""C{appproxy check --online}: what the daemon's user may read."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.online_access import Account, account_of_owner, check_access

STRANGER = Account("appproxy-edge", 4_000_000, frozenset({4_000_000}))


class AccessTests(SynchronousTestCase):
    """L{check_access}."""

    def setUp(self) -> None:
        """Two certificate files in a folder."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.open, self.closed = self.folder / "open.pem", self.folder / "closed.pem"
        self.open.touch(0o644)
        self.closed.touch(0o600)

    def messages(self, account: Account | None) -> list[str]:
        """What is said."""
        return [each.message for each in check_access([self.folder, self.folder / "none"], account)]

    def test_files(self) -> None:
        """A file that root copied for itself alone is named; one in a group of the user's is not."""
        reachable = all(STRANGER.may(each, os.X_OK) for each in self.closed.parents)
        told = f"{self.closed}: the user appproxy-edge may not read it"
        self.assertIn(told, self.messages(STRANGER))
        self.closed.chmod(0o640)
        member = Account("appproxy-edge", 4_000_000, frozenset({self.closed.stat().st_gid}))
        if reachable:
            self.assertEqual(self.messages(member), [])
        self.assertEqual(self.messages(None), [])

    def test_rights(self) -> None:
        """Owner, group and others each have their own bits; the first that fits decides."""
        status = self.closed.stat()
        owner = Account("o", status.st_uid, frozenset())
        member = Account("m", 4_000_000, frozenset({status.st_gid}))
        for mode, expected in ((0o400, (1, 0, 0)), (0o040, (0, 1, 0)), (0o004, (0, 0, 1))):
            self.closed.chmod(mode)
            found = tuple(int(each.may(self.closed, os.R_OK)) for each in (owner, member, STRANGER))
            self.assertEqual(found, expected, oct(mode))

    def test_owner(self) -> None:
        """The daemon's user is whoever its state belongs to; root needs no leave."""
        self.assertIsNone(account_of_owner(self.folder / "none"))
        found = account_of_owner(self.folder)
        if os.geteuid() == 0:
            self.assertIsNone(found)
        else:
            assert found is not None
            self.assertEqual(found.user, os.geteuid())
