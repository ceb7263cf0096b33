"""Tests of L{appproxy.observe.transaction}."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe.transaction import Transaction, TransactionIds


class TransactionIdsTests(SynchronousTestCase):
    """Ids that sort by time and cannot be guessed."""

    def test_form(self) -> None:
        """26 characters of Crockford's alphabet, whatever the time."""
        for now in (0.0, 1.5, 1_800_000_000.123, 281474976710.655):
            self.assertRegex(TransactionIds(partial(float, now))(), r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")

    def test_time(self) -> None:
        """The first ten characters are the milliseconds, as the ULID specification's example has them."""
        ids = TransactionIds(lambda: 1469918176.385)
        self.assertEqual(ids()[:10], "01ARYZ6S41")

    def test_order(self) -> None:
        """An id of a later millisecond sorts after."""
        now = [1_800_000_000.0]
        ids = TransactionIds(lambda: now[0])
        made = []
        for _ in range(300):
            made.append(ids())
            now[0] += 0.002
        self.assertEqual(made, sorted(made))

    def test_unique_and_random(self) -> None:
        """Ids of one moment differ, and all of what differs comes from the random source."""
        asked: list[int] = []

        def random(size: int) -> bytes:
            asked.append(size)
            return bytes((len(asked) * 7 + place) % 256 for place in range(size))

        ids = TransactionIds(lambda: 5.0, random)
        made = [ids() for _ in range(1000)]
        self.assertEqual(asked, [4096] * 4)
        self.assertEqual({len(each) for each in made}, {26})
        real = TransactionIds(lambda: 5.0)
        self.assertEqual(len({real() for _ in range(5000)}), 5000)

    def test_even(self) -> None:
        """Every character is equally likely."""
        ids = TransactionIds(lambda: 5.0, lambda size: bytes(range(256)) * (size // 256))
        text = "".join(ids()[10:] for _ in range(256))
        counts = {text.count(character) for character in set(text)}
        self.assertEqual(len(set(text)), 32)
        self.assertEqual(len(counts), 1)


class TransactionTests(SynchronousTestCase):
    """The facts of one request."""

    def test_slots(self) -> None:
        """A misspelt field is an error, not a field that no log shows."""
        transaction = Transaction("x", 1.0)
        with self.assertRaises(AttributeError):
            transaction.backend_tiem = 1.0  # type: ignore[attr-defined]
        self.assertFalse(hasattr(transaction, "__dict__"))
