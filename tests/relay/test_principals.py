"""L{appproxy.relay.principals}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.relay.principals import MAXIMUM_NUMBER, NumbersExhausted, PrincipalNumbers
from appproxy.tunnel.errors import TunnelRefused

NAME = frozenset({"user_principal_name"})


def user(name: str, session: str = "") -> Principal:
    """Somebody."""
    return Principal("https://idp.example", name, session or f"session-{name}", f"{name}@example.com")


class Peer:
    """What the other side of the tunnel knows, held to the rules of section 6."""

    def __init__(self, maximum: int = 100, maximum_bytes: int = 1 << 20) -> None:
        self.known: dict[int, bytes] = {}
        self.last = 0
        self.maximum = maximum
        self.maximum_bytes = maximum_bytes
        self.forgotten: list[int] = []

    def announce(self, number: int, encoded: bytes) -> None:
        """As a session does."""
        size = sum(map(len, self.known.values())) + len(encoded)
        if len(self.known) >= self.maximum or size > self.maximum_bytes:
            raise TunnelRefused("overloaded", "too many principals")
        assert number > self.last, "numbers go upwards"
        self.last = number
        self.known[number] = encoded

    def withdraw(self, number: int) -> None:
        """As a session does."""
        del self.known[number]
        self.forgotten.append(number)


class NumbersTests(SynchronousTestCase):
    """L{PrincipalNumbers}."""

    def numbers(self, maximum: int = 100, **of: int) -> tuple[PrincipalNumbers, Peer]:
        """Numbers of one tunnel."""
        peer = Peer(maximum, **of)
        return PrincipalNumbers(peer.announce, peer.withdraw, maximum), peer

    def test_once(self) -> None:
        """A user crosses once, with the claims that are needed only."""
        numbers, peer = self.numbers()
        ada = user("ada")
        first, again = numbers.number_of("a", ada, NAME), numbers.number_of("a", ada, NAME)
        self.assertEqual((first.number, again.number, len(peer.known)), (1, 1, 1))
        self.assertEqual(first.digest, ada.reduced_to(NAME).digest)
        self.assertEqual(Principal.decode(peer.known[1]), ada.reduced_to(NAME))

    def test_equal(self) -> None:
        """The same user read anew from the store is no other one."""
        numbers, _ = self.numbers()
        numbers.number_of("a", user("ada"), NAME)
        self.assertEqual(numbers.number_of("a", user("ada"), frozenset(NAME)).number, 1)

    def test_changed(self) -> None:
        """Changed claims are a new number; the old one goes with the session."""
        numbers, peer = self.numbers()
        numbers.number_of("a", user("ada"), NAME)
        changed = numbers.number_of("a", user("eve", "session-ada"), NAME)
        self.assertEqual((changed.number, len(peer.known)), (2, 2))
        more = numbers.number_of("a", user("eve", "session-ada"), NAME | {"mail"})
        self.assertEqual(more.number, 3)
        self.assertTrue(numbers.forget("a"))
        self.assertEqual((sorted(peer.forgotten), peer.known), ([1, 2, 3], {}))

    def test_forget(self) -> None:
        """A forgotten user gets a new number, never an old one."""
        numbers, peer = self.numbers()
        numbers.number_of("a", user("ada"), NAME)
        self.assertTrue(numbers.forget("a"))
        self.assertFalse(numbers.forget("a"))
        self.assertEqual(numbers.number_of("a", user("ada"), NAME).number, 2)
        self.assertEqual(list(peer.known), [2])

    def test_eviction(self) -> None:
        """Who was not seen for longest makes room."""
        numbers, peer = self.numbers(2)
        for name in ("ada", "bob", "ada", "eve"):
            numbers.number_of(name, user(name), NAME)
        self.assertEqual(peer.forgotten, [2])
        self.assertEqual(len(numbers), 2)

    def test_eviction_of_changed_users(self) -> None:
        """Users whose claims changed count as often as they are known."""
        numbers, peer = self.numbers(4)
        for each in range(4):
            numbers.number_of("a", user(f"ada{each}"), NAME)
        numbers.number_of("b", user("bob"), NAME)
        self.assertEqual(sorted(peer.forgotten), [1, 2, 3, 4])
        self.assertEqual(list(peer.known), [5])

    def test_one_user_who_changes_all_the_time(self) -> None:
        """Even one user alone does not need more than the peer keeps."""
        numbers, peer = self.numbers(2)
        for each in range(5):
            numbers.number_of("a", user(f"ada{each}"), NAME)
        self.assertLessEqual(len(peer.known), 2)

    def test_room_by_size(self) -> None:
        """So do users with many groups, whose bytes do not fit."""
        numbers, peer = self.numbers(maximum_bytes=3 * len(user("ada").reduced_to(NAME).encoded))
        for name in ("ada", "bob", "cat"):
            numbers.number_of(name, user(name), NAME)
        numbers.number_of("dan", user("dan" * 30), NAME)
        self.assertEqual(len(peer.forgotten), 2)

    def test_no_room_at_all(self) -> None:
        """A user that does not fit into an empty peer is refused, and nobody's number is spoilt."""
        numbers, _ = self.numbers(maximum_bytes=10)
        self.assertRaises(TunnelRefused, numbers.number_of, "a", user("ada"), NAME)
        self.assertEqual(len(numbers), 0)

    def test_exhausted(self) -> None:
        """A tunnel whose numbers are used up says so."""
        numbers, _ = self.numbers()
        numbers._last = MAXIMUM_NUMBER - 2
        numbers.number_of("a", user("ada"), NAME)
        numbers.number_of("b", user("bob"), NAME)
        self.assertRaises(NumbersExhausted, numbers.number_of, "c", user("eve"), NAME)
        self.assertEqual(numbers.number_of("a", user("ada"), NAME).number, MAXIMUM_NUMBER - 1)

    @settings(max_examples=100)
    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.booleans()), max_size=40))
    def test_never_somebody_else(self, steps: list[tuple[str, int, bool]]) -> None:
        """
        In any order of requests, changes and ends, a number means the request's user to the peer.

        Security row 43.
        """
        numbers, peer = self.numbers(3)
        for key, version, ends in steps:
            if ends:
                numbers.forget(key)
                continue
            wanted = user(f"{key}{version}")
            numbered = numbers.number_of(key, wanted, NAME)
            self.assertEqual(Principal.decode(peer.known[numbered.number]), wanted.reduced_to(NAME))
            self.assertLessEqual(len(peer.known), 3)
