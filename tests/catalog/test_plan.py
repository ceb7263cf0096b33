"""Tests of what a file changes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import Document
from appproxy.catalog.plan import Change, plan
from tests.catalog.examples import application, group, read


class PlanTests(SynchronousTestCase):
    """From what is to what is asked for."""

    def actions(self, changes: list[Change]) -> list[tuple[str, str, str]]:
        """What happens to which object."""
        return [(change.action, change.kind, change.id) for change in changes]

    def test_from_nothing(self) -> None:
        """Everything of the file is made, groups first."""
        self.assertEqual(
            self.actions(plan(Document(), read(), prune=False)),
            [
                ("create", "connector_group", "hq"),
                ("create", "application", "caldav"),
                ("create", "application", "wiki"),
            ],
        )

    def test_nothing_to_do(self) -> None:
        """A file that was applied asks for nothing more, pruning or not."""
        self.assertEqual(plan(read(), read(), prune=False), [])
        self.assertEqual(plan(read(), read(), prune=True), [])

    def test_removes_only_when_pruning(self) -> None:
        """What a file does not name stays, unless removal was asked for."""
        self.assertEqual(plan(read(), Document(), prune=False), [])
        self.assertEqual({change.action for change in plan(read(), Document(), prune=True)}, {"delete"})

    def test_settings(self) -> None:
        """An update tells each setting that becomes another, and no other."""
        before = application(users=["ada@example.com"], cookie={"http_only": False})
        after = application(users=["ada@example.com", "bob@example.com"], retry=False)
        [change] = plan(Document({"wiki": before}), Document({"wiki": after}), prune=False)
        self.assertEqual(
            list(change.settings()),
            [
                ("users", ["ada@example.com"], ["ada@example.com", "bob@example.com"]),
                ("cookie.http_only", False, None),
                ("retry", None, False),
            ],
        )

    def test_plain(self) -> None:
        """A change is plain data for JSON, with the hashes of the audit log."""
        [change] = plan(Document(), Document(groups={"hq": group()}), prune=False)
        plain = change.as_dict()
        self.assertEqual((plain["action"], plain["before_hash"]), ("create", ""))
        self.assertEqual(plain["settings"], [{"setting": "name", "before": None, "after": "Headquarters"}])
