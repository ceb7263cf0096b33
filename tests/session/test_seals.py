"""Tests of L{appproxy.session.seals}."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.session.seals import BadSeal, Purpose, SealKeys

SECRETS = {1: b"a" * 32, 2: b"b" * 32}


class SealTests(SynchronousTestCase):
    """What a sealed token promises."""

    def setUp(self) -> None:
        self.keys = SealKeys(SECRETS, 2)

    @settings(max_examples=100)
    @given(data=st.binary(max_size=300), host=st.binary(max_size=40), purpose=st.sampled_from(Purpose))
    def test_round_trip(self, data: bytes, host: bytes, purpose: Purpose) -> None:
        """What was sealed comes back, for the same purpose at the same host."""
        keys = SealKeys(SECRETS, 1)
        token = keys.seal(purpose, host, data)
        self.assertRegex(token, rb"\A[A-Za-z0-9_-]+\Z")
        self.assertEqual(keys.unseal(purpose, host, token), data)

    def test_purpose_and_host(self) -> None:
        """A token opens for no other purpose and at no other host."""
        for purpose in Purpose:
            token = self.keys.seal(purpose, b"host", b"data")
            for other in Purpose:
                for host in (b"host", b"other", b"", b"host\0"):
                    if (other, host) != (purpose, b"host"):
                        with self.assertRaises(BadSeal):
                            self.keys.unseal(other, host, token)

    def test_old_key(self) -> None:
        """A token of an older key opens while the ring has it, and not after."""
        token = SealKeys(SECRETS, 1).seal(Purpose.TICKET, b"host", b"data")
        self.assertEqual(self.keys.unseal(Purpose.TICKET, b"host", token), b"data")
        with self.assertRaises(BadSeal):
            SealKeys({2: SECRETS[2]}, 2).unseal(Purpose.TICKET, b"host", token)

    def test_relabelled_key(self) -> None:
        """The number of the key is authenticated too."""
        token = SealKeys({1: SECRETS[1]}, 1).seal(Purpose.TICKET, b"host", b"data")
        with self.assertRaises(BadSeal):
            SealKeys({2: SECRETS[1]}, 2).unseal(Purpose.TICKET, b"host", token[:4] + b"AC" + token[6:])

    @settings(max_examples=200)
    @given(token=st.binary(max_size=120) | st.text(alphabet="AQab_-=", max_size=120).map(str.encode))
    def test_rubbish(self, token: bytes) -> None:
        """
        Whatever bytes come, the answer is one and the same refusal.

        Security row 42.
        """
        with self.assertRaises(BadSeal):
            SealKeys(SECRETS, 2).unseal(Purpose.SESSION_COOKIE, b"host", token)

    def test_one_spelling(self) -> None:
        """A token has one spelling: no padding, no second alphabet, no blanks, no spare bits."""
        token = self.keys.seal(Purpose.TICKET, b"host", b"12")
        other_alphabet = token.translate(bytes.maketrans(b"-_", b"+/"))
        spellings = [
            token + b"=",
            token + b"\n",
            b" " + token,
            token[:9] + b"\n" + token[9:],
            token + b"AAAA",
        ]
        if other_alphabet != token:
            spellings.append(other_alphabet)
        for each in spellings:
            with self.assertRaises(BadSeal):
                self.keys.unseal(Purpose.TICKET, b"host", each)

    def test_nonces_differ(self) -> None:
        """
        The same data is never sealed to the same token.

        Security row 41.
        """
        tokens = {self.keys.seal(Purpose.TICKET, b"host", b"data") for _ in range(500)}
        self.assertEqual(len(tokens), 500)

    def test_no_key(self) -> None:
        """Without a key nothing is sealed."""
        with self.assertRaises(BadSeal):
            SealKeys({}, 0).seal(Purpose.TICKET, b"host", b"data")

    def test_too_long(self) -> None:
        """What is longer than any of ours is not looked at."""
        token = self.keys.seal(Purpose.TICKET, b"host", os.urandom(4000))
        with self.assertRaises(BadSeal):
            self.keys.unseal(Purpose.TICKET, b"host", token)
