"""
Tests of L{appproxy.relay.principals}.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.relay import principals
from appproxy.relay.principals import NumbersExhausted, PrincipalNumbers
from appproxy.tunnel.errors import TunnelRefused
from tests.relay.support import ADA, EVE, NAME


class NumbersTests(SynchronousTestCase):
    """Users and their numbers on one tunnel."""

    def setUp(self) -> None:
        self.told: dict[int, bytes] = {}
        self.withdrawn: list[int] = []
        self.room = 100
        self.numbers = self.make(100)

    def make(self, maximum: int) -> PrincipalNumbers:
        """Numbers of a peer that keeps so many."""
        return PrincipalNumbers(self.announce, self.withdraw, maximum)

    def announce(self, number: int, encoded: bytes) -> None:
        """The peer learns of a user, if it has room."""
        if len(self.told) >= self.room:
            raise TunnelRefused("overloaded", "too many principals")
        self.told[number] = encoded

    def withdraw(self, number: int) -> None:
        """The peer forgets one."""
        del self.told[number]
        self.withdrawn.append(number)

    def number(self, principal: Principal, claims: frozenset[str] = NAME) -> int:
        """A principal's number, by its session."""
        return self.numbers.number_of(principal.session_id, principal, claims).number

    def test_once(self) -> None:
        """A user is told once, reduced to the claims, and keeps the number."""
        self.assertEqual([self.number(ADA), self.number(EVE), self.number(ADA)], [1, 2, 1])
        self.assertEqual(self.told[1], ADA.reduced_to(NAME).encoded)

    def test_digest(self) -> None:
        """The digest is that of what was told."""
        numbered = self.numbers.number_of("key", ADA, NAME)
        self.assertEqual(numbered.digest, ADA.reduced_to(NAME).digest)

    def test_equal(self) -> None:
        """A user who is read from the store again is the same user."""
        self.number(ADA)
        self.assertEqual(self.number(replace(ADA), frozenset(NAME)), 1)
        self.assertEqual(self.number(replace(ADA), frozenset(NAME)), 1)

    def test_changed(self) -> None:
        """Other claims are another number; the old one's streams go on until the session ends."""
        self.number(ADA)
        self.assertEqual(self.number(replace(ADA, mail="new@example.com"), NAME | {"mail"}), 2)
        self.assertEqual(self.withdrawn, [])
        self.assertTrue(self.numbers.forget(ADA.session_id))
        self.assertEqual(self.withdrawn, [1, 2])

    def test_forget(self) -> None:
        """A forgotten number is never used again."""
        self.number(ADA)
        self.numbers.forget(ADA.session_id)
        self.assertFalse(self.numbers.forget(ADA.session_id))
        self.assertEqual(self.number(ADA), 2)

    def test_evicts_the_idle(self) -> None:
        """The user who was idle longest makes room."""
        self.numbers = self.make(2)
        self.number(ADA)
        self.number(EVE)
        self.number(ADA)
        self.number(replace(ADA, session_id="third"))
        self.assertEqual((self.withdrawn, len(self.numbers)), ([2], 2))

    def test_peer_without_room(self) -> None:
        """Where the peer has no room for so many bytes, the idle make some, and not all of them."""
        self.room = 2
        self.number(ADA)
        self.number(EVE)
        self.number(replace(ADA, session_id="third"))
        self.assertEqual(self.withdrawn, [1])
        self.room = 0
        self.assertRaises(TunnelRefused, self.number, replace(ADA, session_id="fourth"))

    def test_exhausted(self) -> None:
        """At the end of the numbers the tunnel is used up."""
        self.patch(principals, "MAXIMUM_NUMBER", 1)
        self.number(ADA)
        self.assertRaises(NumbersExhausted, self.number, EVE)
        self.assertEqual(self.number(ADA), 1)
