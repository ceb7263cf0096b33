"""Tests of L{appproxy.kerberos.negotiate}."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.negotiate import read_challenges, write_token
from appproxy.kerberos.spnego import MAXIMUM_TOKEN_BYTES, SpnegoError


class ChallengeTests(SynchronousTestCase):
    """L{read_challenges}."""

    def test_token(self) -> None:
        """A token alone, and among other schemes, in one header or in several; the scheme in any case."""
        for values in (
            [b"Negotiate AQID"],
            [b"negotiate  AQID "],
            [b'Basic realm="a, Negotiate b", NEGOTIATE AQID, NTLM'],
            [b"NTLM", b"Negotiate AQID"],
            [b"Negotiate", b"Negotiate AQID"],
        ):
            self.assertEqual(read_challenges(values), b"\x01\x02\x03", values)

    def test_offered(self) -> None:
        """Negotiate without a token, as a first 401 has it."""
        for values in ([b"Negotiate"], [b"NTLM, Negotiate"], [b"NTLM", b"negotiate"]):
            self.assertEqual(read_challenges(values), b"", values)

    def test_not_offered(self) -> None:
        """Other schemes, and words that only begin or end like it."""
        for values in (
            [],
            [b""],
            [b'Basic realm="Negotiate AQID"'],
            [b"Negotiates AQID"],
            [b"X-Negotiate A"],
        ):
            self.assertIsNone(read_challenges(values), values)

    def test_refused(self) -> None:
        """What is no Base64, two tokens, and a token beyond the bound."""
        for values in (
            [b"Negotiate AQ?="],
            [b"Negotiate AQI"],
            [b"Negotiate AQID BAUG"],
            [b"Negotiate AQID, Negotiate BAUG"],
            [b"Negotiate " + b64encode(bytes(MAXIMUM_TOKEN_BYTES + 3))],
        ):
            with self.assertRaises(SpnegoError, msg=values):
                read_challenges(values)

    @given(strategies.lists(strategies.binary(max_size=100), max_size=3))
    def test_any_bytes(self, values: list[bytes]) -> None:
        """Any values are read or refused."""
        for each in (values, [b"Negotiate " + value for value in values]):
            try:
                read_challenges(each)
            except SpnegoError:
                pass

    @given(strategies.binary(min_size=1, max_size=500))
    def test_round_trip(self, token: bytes) -> None:
        """A token that was written is read."""
        self.assertEqual(read_challenges([b"Negotiate " + write_token(token)]), token)
