"""Tests of L{appproxy.directory.cache}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.cache import AnswerCache


class CacheTests(SynchronousTestCase):
    """What is remembered."""

    def setUp(self) -> None:
        """Room for three."""
        self.cache: AnswerCache[str] = AnswerCache(3)

    def test_time(self) -> None:
        """An answer counts until its time is up, and is gone then."""
        self.cache.put("a", "x", until=10)
        self.assertEqual(self.cache.get("a", 9.9), "x")
        self.assertIsNone(self.cache.get("a", 10))
        self.assertEqual(len(self.cache), 0)

    def test_bound(self) -> None:
        """The oldest goes when there are too many; a new answer is not old."""
        for key in "abc":
            self.cache.put(key, key, until=10)
        self.cache.put("a", "anew", until=10)
        self.cache.put("d", "d", until=10)
        self.assertEqual([self.cache.get(key, 0) for key in "abcd"], ["anew", None, "c", "d"])

    def test_forget(self) -> None:
        """One, or all."""
        for key in "abc":
            self.cache.put(key, key, until=10)
        self.cache.forget("b")
        self.cache.forget("nobody")
        self.assertEqual([self.cache.get(key, 0) for key in "abc"], ["a", None, "c"])
        self.cache.clear()
        self.assertEqual(len(self.cache), 0)
