"""Tests of L{appproxy.signin.keys}."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm
from twisted.trial.unittest import SynchronousTestCase

from appproxy.signin.keys import MAXIMUM_KEYS, parse_key_set
from tests.signin.support import ec_key, ed_key, public_jwk, rsa_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class KeySetTests(SynchronousTestCase):
    """Reading a provider's keys."""

    def ids(self, *entries: dict[str, Any]) -> list[str | None]:
        """The ids of the usable keys."""
        return [key.key_id for key in parse_key_set({"keys": list(entries)}).keys]

    def test_usable(self) -> None:
        """Signing keys of the known types are usable, with and without id."""
        entries = [
            public_jwk(rsa_key(), kid="a"),
            public_jwk(ec_key(), kid="b", use="sig"),
            public_jwk(ec_key(ec.SECP521R1), kid="c"),
            public_jwk(ed_key()),
        ]
        self.assertEqual(self.ids(*entries), ["a", "b", "c", None])

    def test_of_no_use(self) -> None:
        """Encryption keys, symmetric keys, unknown types and broken ones are passed over, the rest used."""
        good = public_jwk(rsa_key(), kid="good")
        weak = rsa.generate_private_key(65537, 1024)
        bad: list[dict[str, Any]] = [
            {**good, "use": "enc"},
            {**good, "alg": "RSA-OAEP"},
            {**good, "alg": "HS256"},
            {**good, "alg": 7},
            {**good, "kty": "rsa"},
            {**good, "kty": None},
            {"kty": "RSA", "kid": "x"},
            {**good, "n": "!"},
            {**good, "n": 7},
            {"kty": "oct", "k": "AAAA"},
            {**public_jwk(ec_key()), "crv": "P-384"},
            {**public_jwk(ec_key()), "crv": "secp256k1"},
            {**public_jwk(ed_key()), "crv": "X25519"},
            public_jwk(weak, kid="weak"),
            {},
        ]
        self.assertEqual(self.ids(*bad, good, *bad), ["good"])

    def test_private_key(self) -> None:
        """Of a private key that a provider publishes by mistake only the public half is kept."""
        private = RSAAlgorithm.to_jwk(rsa_key(), as_dict=True)
        (key,) = parse_key_set({"keys": [private]}).keys
        self.assertIsInstance(key.public_key, rsa.RSAPublicKey)

    def test_bounded(self) -> None:
        """However many keys there are, a bounded number is looked at."""
        many = [public_jwk(ed_key(), kid=str(n)) for n in range(MAXIMUM_KEYS + 50)]
        self.assertEqual(len(self.ids(*many)), MAXIMUM_KEYS)

    def test_no_key_set(self) -> None:
        """What has no list of keys is no key set."""
        for document in ({}, {"keys": None}, {"keys": {"a": 1}}):
            with self.assertRaises(ValueError):
                parse_key_set(document)

    @settings(max_examples=150, deadline=None)
    @given(
        entries=st.lists(
            JSON
            | st.fixed_dictionaries(
                {"kty": st.sampled_from(["RSA", "EC", "OKP"])},
                optional=dict.fromkeys(("n", "e", "crv", "x", "y", "alg", "use", "kid"), JSON),
            )
        )
    )
    def test_rubbish(self, entries: list[Any]) -> None:
        """No JSON in the place of keys breaks the reader."""
        parse_key_set({"keys": entries})
