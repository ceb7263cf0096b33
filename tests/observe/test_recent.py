"""L{appproxy.observe.recent}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.refusal import Error, Refusal
from appproxy.observe.recent import FAILED_REMEMBERED, GOOD_REMEMBERED, LONGEST_TEXT, Recent
from appproxy.observe.transaction import Transaction


def ended(transaction_id: str, status: int = 200, target: bytes = b"/") -> Transaction:
    """A request that is over."""
    made = Transaction(transaction_id, 1.0, "192.0.2.1", b"GET", b"wiki.example", target, b"curl")
    made.status = status
    return made


class RecentTests(SynchronousTestCase):
    """What an edge remembers of requests."""

    def test_found(self) -> None:
        """A request is found by its id, however it ended."""
        recent = Recent()
        made = [ended("good"), ended("refused", 403), ended("failed", 502), ended("gone", 0)]
        made[3].reason = "client_gone"
        for each in made:
            recent.keep(each)
        self.assertEqual([recent.find(each.id) for each in made], made)
        self.assertIsNone(recent.find("other"))

    def test_floods(self) -> None:
        """However many good and refused requests come, those that failed are still known."""
        recent = Recent()
        recent.keep(ended("failed", 504))
        broken = ended("broken", 200)
        broken.reason = "tunnel_lost"
        recent.keep(broken)
        for _ in range(GOOD_REMEMBERED):
            recent.keep(ended("x"))
            recent.keep(ended("y", 404))
        self.assertIsNotNone(recent.find("failed"))
        self.assertIsNotNone(recent.find("broken"))

    def test_bound(self) -> None:
        """The oldest of a sort goes when there are too many."""
        recent = Recent()
        for number in range(FAILED_REMEMBERED + 1):
            recent.keep(ended(str(number), 502))
        self.assertIsNone(recent.find("0"))
        self.assertIsNotNone(recent.find("1"))
        self.assertEqual(len(list(recent)), FAILED_REMEMBERED)

    def test_secrets(self) -> None:
        """No query string stays in memory, and nothing long."""
        recent = Recent()
        recent.keep(ended("query", target=b"/a?token=secret"))
        long = ended("long", target=b"/" + b"a" * 60_000)
        long.user_agent = long.host = b"b" * 60_000
        recent.keep(long)
        self.assertEqual({each.target[:3] for each in recent}, {b"/a", b"/aa"})
        self.assertEqual({len(long.target), len(long.user_agent), len(long.host)}, {LONGEST_TEXT})

    def test_steps(self) -> None:
        """Attempts that failed are told in order, by the time from the beginning."""
        made = ended("x", 502)
        made.connector = "hq"
        made.attempt_failed(1.5, "backend_refused", "no")
        made.connector = "hq-2"
        made.attempt_failed(2.0, "backend_name", "none")
        self.assertEqual([step.after for step in made.steps], [0.5, 1.0])
        self.assertEqual([step.connector for step in made.steps], ["hq", "hq-2"])
        made.refused(Refusal(Error.BadGateway, "backend_name"))
        self.assertEqual(len(made.steps), 2)
