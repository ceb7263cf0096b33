"""Tests of L{appproxy.kerberos.negotiate}."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.negotiate import MAXIMUM_KEPT_BYTES, TokenWriter, read_challenges, write_token
from appproxy.kerberos.spnego import MAXIMUM_TOKEN_BYTES, SpnegoError, wrap


class WriterTests(SynchronousTestCase):
    """L{TokenWriter}."""

    def check(self, wrapped: bool, tokens: list[bytes]) -> None:
        """Each is written as it would be alone."""
        writer = TokenWriter(wrapped)
        for token in tokens:
            alone = write_token(wrap(token) if wrapped else token)
            self.assertEqual(writer.write(token), alone, (wrapped, tokens))

    @given(
        strategies.booleans(),
        strategies.binary(max_size=300),
        strategies.lists(strategies.binary(max_size=6), max_size=6),
    )
    def test_same_as_alone(self, wrapped: bool, ticket: bytes, authenticators: list[bytes]) -> None:
        """Security row 45: what is kept of a ticket's tokens changes none of them: each is its own."""
        self.check(wrapped, [ticket + each for each in authenticators])

    @given(strategies.booleans(), strategies.lists(strategies.binary(max_size=9), max_size=6))
    def test_nothing_in_common(self, wrapped: bool, tokens: list[bytes]) -> None:
        """Nor where they have nothing in common."""
        self.check(wrapped, tokens)

    def test_long(self) -> None:
        """Tickets of any size that Kerberos has."""
        for size in (MAXIMUM_KEPT_BYTES - 100, MAXIMUM_KEPT_BYTES + 100, MAXIMUM_TOKEN_BYTES - 100):
            for wrapped in (True, False):
                self.check(wrapped, [b"t" * size + b"%04d" % number for number in range(5)])

    def test_odd_sizes(self) -> None:
        """A token that is a byte shorter now and then costs nothing but itself."""
        writer, head = TokenWriter(True), b"t" * 1200
        for number in range(3):
            writer.write(head + b"%03d" % number)
        kept = writer._text
        self.assertGreater(len(kept), 1590)
        for number in range(3):
            writer.write(head + b"%02d" % number)
            writer.write(head + b"%03d" % number)
            self.assertIs(writer._text, kept)
        for number in range(2):
            writer.write(head + b"%02d" % number)
        self.assertIsNot(writer._text, kept)

    def test_bounded(self) -> None:
        """Of a long ticket no text is kept, and of an everyday one no whole token."""
        for size, kept in ((MAXIMUM_KEPT_BYTES + 100, False), (1200, True)):
            writer = TokenWriter(True)
            for number in range(3):
                writer.write(b"t" * size + b"%0300d" % number)
            self.assertEqual(bool(writer._text), kept)
            self.assertEqual(writer._last, b"")


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
