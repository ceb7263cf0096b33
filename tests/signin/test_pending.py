"""Tests of L{appproxy.signin.pending}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.session.handover import SignInRequest
from appproxy.signin.pending import (
    COOKIE_DATA_LIMIT,
    MAXIMUM_PENDING,
    PENDING_SECONDS,
    decode_pending,
    no_pending,
)

NOW = 1_800_000_000.0


def wanted(target: str = "/") -> SignInRequest:
    """A request for a page."""
    return SignInRequest("https://wiki.example.com", target, "f" * 64, NOW)


class PendingTests(SynchronousTestCase):
    """The sign-ins under way in one browser."""

    def test_round_trip(self) -> None:
        """What goes into the cookie comes back, with the same nonces and verifiers."""
        pending = no_pending().started(wanted("/a"), NOW).started(wanted("/b"), NOW + 1)
        again = decode_pending(pending.encoded())
        self.assertEqual(again, pending)
        for each in pending.pending:
            self.assertEqual(again.nonce(each), pending.nonce(each))
            self.assertEqual(again.verifier(each), pending.verifier(each))

    def test_bounded(self) -> None:
        """
        There are eight at most; the oldest goes.

        Security row 14.
        """
        pending = no_pending()
        for number in range(20):
            pending = pending.started(wanted(f"/{number}"), NOW + number)
        self.assertEqual(len(pending.pending), MAXIMUM_PENDING)
        self.assertEqual([each.request.target for each in pending.pending], [f"/{n}" for n in range(12, 20)])
        self.assertTrue(pending.is_full)

    @settings(max_examples=50)
    @given(lengths=st.lists(st.integers(0, 1599), min_size=1, max_size=12))
    def test_fits(self, lengths: list[int]) -> None:
        """However long the addresses, the cookie fits and the newest is in it."""
        pending = no_pending()
        for length in lengths:
            pending = decode_pending(pending.started(wanted("/" + "a" * length), NOW).encoded())
            self.assertLessEqual(len(pending.encoded()), COOKIE_DATA_LIMIT)
            self.assertEqual(len(pending.pending[-1].request.target), length + 1)

    def test_too_late(self) -> None:
        """One that takes more than an hour is over, and makes room."""
        pending = no_pending().started(wanted(), NOW)
        (only,) = pending.pending
        self.assertEqual(pending.find(only.id, NOW + PENDING_SECONDS - 1), only)
        self.assertIsNone(pending.find(only.id, NOW + PENDING_SECONDS))
        self.assertEqual(len(pending.started(wanted(), NOW + PENDING_SECONDS).pending), 1)

    def test_taken(self) -> None:
        """One that was taken is there no more; the others are."""
        pending = no_pending().started(wanted("/a"), NOW).started(wanted("/b"), NOW)
        rest = pending.without(pending.pending[0].id)
        self.assertEqual([each.request.target for each in rest.pending], ["/b"])
        self.assertIsNone(rest.find("unknown", NOW))

    def test_secrets_differ(self) -> None:
        """Every sign-in has its own nonce and verifier, in every browser, of full length."""
        seen = set()
        for _ in range(5):
            pending = no_pending()
            for _ in range(5):
                pending = pending.started(wanted(), NOW)
                newest = pending.pending[-1]
                seen |= {pending.nonce(newest), pending.verifier(newest)}
        self.assertEqual(len(seen), 50)
        self.assertTrue(all(len(each) == 43 for each in seen))

    def test_another_version(self) -> None:
        """A form that this version does not write is an error of value."""
        for data in (b"", b"{}", b"[]", b"[1]", b'["s",[["id"]]]', b'["s",[["id",1,{"x":1}]]]', b'["s",7]'):
            with self.assertRaises(ValueError):
                decode_pending(data)
