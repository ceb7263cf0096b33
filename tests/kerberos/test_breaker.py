"""Tests of L{appproxy.kerberos.breaker}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.breaker import MAXIMUM_REALMS, Breakers
from appproxy.kerberos.causes import Stage


class BreakerTests(SynchronousTestCase):
    """L{Breakers}."""

    def setUp(self) -> None:
        self.breakers: Breakers[str] = Breakers()

    def test_well(self) -> None:
        """As long as a realm answers, any number of calls is made."""
        self.breakers.begin("A", "first")
        self.assertIsNone(self.breakers.refusal("A"))
        self.breakers.answered("A")
        self.assertEqual(len(self.breakers), 0)

    def test_one_tries(self) -> None:
        """A silent realm is tried by one call; the others hear at which stage it fell silent."""
        self.breakers.missed("A", "first", Stage.s4u2self)
        self.assertIsNone(self.breakers.refusal("A"))
        self.breakers.begin("A", "second")
        self.assertIs(self.breakers.refusal("A"), Stage.s4u2self)
        self.assertIsNone(self.breakers.refusal("B"))

    def test_next_tries(self) -> None:
        """When the one that tries misses the deadline or is withdrawn, the next may; no other end counts."""
        self.breakers.missed("A", "first", Stage.s4u2self)
        self.breakers.begin("A", "second")
        self.breakers.ended("A", "first")
        self.assertIsNotNone(self.breakers.refusal("A"))
        self.breakers.missed("A", "second", Stage.own_ticket)
        self.assertIsNone(self.breakers.refusal("A"))
        self.breakers.begin("A", "third")
        self.breakers.ended("A", "third")
        self.assertIsNone(self.breakers.refusal("A"))
        self.assertTrue(self.breakers.is_open("A"))

    def test_answers_again(self) -> None:
        """Any answer ends the silence."""
        self.breakers.missed("A", "first", Stage.s4u2self)
        self.breakers.begin("A", "second")
        self.breakers.answered("A")
        self.assertFalse(self.breakers.is_open("A"))
        self.assertIsNone(self.breakers.refusal("A"))

    def test_bounded(self) -> None:
        """No more realms than the bound are remembered."""
        for number in range(MAXIMUM_REALMS + 5):
            self.breakers.missed(str(number), "call", Stage.own_ticket)
        self.assertEqual(len(self.breakers), MAXIMUM_REALMS)
        self.assertFalse(self.breakers.is_open("0"))

    def test_answers(self) -> None:
        """Answers are counted by realm, of no more realms than the bound."""
        self.assertEqual(self.breakers.answers("A"), 0)
        self.breakers.answered("A")
        self.breakers.answered("A")
        self.breakers.answered("B")
        self.assertEqual((self.breakers.answers("A"), self.breakers.answers("B")), (2, 1))
        for number in range(MAXIMUM_REALMS):
            self.breakers.answered(str(number))
        self.assertEqual(self.breakers.answers("A"), 0)
