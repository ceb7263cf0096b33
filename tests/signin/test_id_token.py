"""Tests of L{appproxy.signin.id_token}: the forged token matrix."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.signin.id_token import (
    MAXIMUM_LIFETIME_SECONDS,
    TOKEN_LIMIT,
    Expectations,
    TokenProblem,
    UnknownKey,
    verify_id_token,
)
from appproxy.signin.keys import ALGORITHMS, parse_key_set
from tests.signin.support import CLIENT_ID, ISSUER, ec_key, ed_key, public_jwk, rsa_key, signed

NOW = 1_800_000_000.0
EXPECTED = Expectations(ISSUER, CLIENT_ID, "the-nonce", 60.0)
RSA_JWK = public_jwk(rsa_key(), kid="k1", use="sig")
KEYS = parse_key_set({"keys": [RSA_JWK, public_jwk(rsa_key(1), kid="k2", use="sig")]})
RIGHT = {"iss": ISSUER, "aud": CLIENT_ID, "sub": "ada", "iat": NOW, "exp": NOW + 300, "nonce": "the-nonce"}

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def encoded(part: Any) -> str:
    """One part of a hand-made token."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class IdTokenTests(SynchronousTestCase):
    """What an ID token must be."""

    def verify(
        self, token: str, expected: Expectations = EXPECTED, access_token: str | None = None
    ) -> dict[str, Any]:
        """Verify with the provider's keys, now."""
        return verify_id_token(token, KEYS, expected, NOW, access_token)

    def assert_problem(self, token: str, *rules: str, **more: Any) -> None:
        """The token is refused, by one of these rules."""
        with self.assertRaises(TokenProblem) as caught:
            self.verify(token, **more)
        self.assertIn(caught.exception.rule, rules, token[:200])

    def changed(self, **changes: Any) -> str:
        """A genuine signature over changed claims; L{None} leaves a claim out."""
        claims = {**RIGHT, **changes}
        return signed({name: value for name, value in claims.items() if value is not None})

    def test_right(self) -> None:
        """A genuine token for us gives its claims."""
        self.assertEqual(self.verify(signed(RIGHT)), RIGHT)

    def test_every_algorithm(self) -> None:
        """Every algorithm of the list works with a key of its type."""
        cases: list[tuple[Any, str]] = [
            (rsa_key(), name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
        ]
        cases += [(ec_key(), "ES256"), (ec_key(ec.SECP384R1), "ES384"), (ec_key(ec.SECP521R1), "ES512")]
        cases += [(ed_key(), "EdDSA")]
        for key, algorithm in cases:
            keys = parse_key_set({"keys": [public_jwk(key, kid="k1")]})
            token = signed(RIGHT, key, algorithm)
            self.assertEqual(verify_id_token(token, keys, EXPECTED, NOW), RIGHT, algorithm)
        self.assertEqual({name for _, name in cases}, ALGORITHMS)

    def test_none(self) -> None:
        """
        An unsigned token is nothing, however C{none} is spelled, with or without a signature.

        Security row 16.
        """
        names: list[Any] = [
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            None,
            "RS256 ",
            "none\u0000",
            [],
            ["RS256"],
            {},
        ]
        for name in names:
            for signature in ("", "AAAA", signed(RIGHT).rpartition(".")[2]):
                header = {"alg": name, "typ": "JWT", "kid": "k1"}
                token = f"{encoded(header)}.{encoded(RIGHT)}.{signature}"
                self.assert_problem(token, "algorithm", "malformed")

    def test_hmac_with_the_public_key(self) -> None:
        """
        The public key is no shared secret (algorithm confusion), in any form of it.

        Security row 16.
        """
        public = rsa_key().public_key()
        secrets = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
            json.dumps(RSA_JWK).encode(),
            RSA_JWK["n"].encode(),
            CLIENT_ID.encode() * 4,
            b"",
        ]
        for secret in secrets:
            for algorithm, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
                body = f"{encoded({'alg': algorithm, 'typ': 'JWT', 'kid': 'k1'})}.{encoded(RIGHT)}"
                signature = hmac.digest(secret, body.encode(), digest)
                self.assert_problem(f"{body}.{encoded(signature)}", "algorithm")

    def test_hmac_key_in_the_set(self) -> None:
        """A symmetric key in the provider's set is never used."""
        keys = parse_key_set({"keys": [{"kty": "oct", "k": encoded(b"x" * 32), "kid": "k1"}]})
        token = signed(RIGHT, b"x" * 32, "HS256")
        with self.assertRaises(TokenProblem):
            verify_id_token(token, keys, EXPECTED, NOW)

    def test_key_type_mismatch(self) -> None:
        """
        A key verifies only what its type signs; the header cannot bend it.

        Security row 16.
        """
        keys = parse_key_set({"keys": [public_jwk(ec_key(), kid="k1")]})
        for algorithm in ("RS256", "PS256"):
            with self.assertRaises(UnknownKey):
                verify_id_token(signed(RIGHT, rsa_key(), algorithm), keys, EXPECTED, NOW)
        with self.assertRaises(UnknownKey):
            self.verify(signed(RIGHT, ec_key(), "ES256"))

    def test_declared_algorithm(self) -> None:
        """A key that says for which algorithm it is, is for no other."""
        keys = parse_key_set({"keys": [public_jwk(rsa_key(), kid="k1", alg="RS512")]})
        verify_id_token(signed(RIGHT, algorithm="RS512"), keys, EXPECTED, NOW)
        with self.assertRaises(UnknownKey):
            verify_id_token(signed(RIGHT), keys, EXPECTED, NOW)

    def test_providers_own_algorithms(self) -> None:
        """What the provider does not sign with is refused, even with its own key."""
        only = Expectations(ISSUER, CLIENT_ID, "the-nonce", 60.0, frozenset({"ES256", "HS256", "none"}))
        self.assert_problem(signed(RIGHT), "algorithm", expected=only)
        self.assert_problem(signed(RIGHT, b"x" * 32, "HS256"), "algorithm", expected=only)

    def test_another_signer(self) -> None:
        """A signature of another key is none, under any key id."""
        self.assert_problem(signed(RIGHT, rsa_key(1), kid="k1"), "signature")
        self.assert_problem(signed(RIGHT, rsa_key(2), kid=None), "signature")
        self.assert_problem(signed(RIGHT, rsa_key(2), kid="k3"), "unknown_key")

    def test_key_in_the_header(self) -> None:
        """Keys that a token brings along, or points at, are not used."""
        stranger = rsa_key(2)
        for header in (
            {"jwk": public_jwk(stranger)},
            {"jku": "https://evil.test/keys"},
            {"x5u": "https://evil.test/chain"},
            {"x5c": ["MIIB"]},
        ):
            self.assert_problem(signed(RIGHT, stranger, **header), "signature")

    def test_no_key_id(self) -> None:
        """Without a key id every key of the type is tried."""
        self.assertEqual(self.verify(signed(RIGHT, rsa_key(1), kid=None)), RIGHT)

    def test_header(self) -> None:
        """Another type of token, or an extension that must be understood, is refused."""
        for typ in ("at+jwt", "logout+jwt", "JWE", 7):
            self.assert_problem(signed(RIGHT, typ=typ), "header", "malformed")
        token = f"{encoded({'alg': 'RS256', 'kid': 'k1', 'crit': ['exp'], 'exp': 1})}.{encoded(RIGHT)}.AAAA"
        self.assert_problem(token, "header", "malformed")
        self.verify(signed(RIGHT, typ="jwt"))

    def test_changed_by_one_bit(self) -> None:
        """No bit of a token can be changed."""
        token = signed(RIGHT)
        for place in range(0, len(token) - 1, 7):
            swapped = "A" if token[place] != "A" else "B"
            with self.assertRaises(TokenProblem):
                self.verify(token[:place] + swapped + token[place + 1 :])

    def test_issuer(self) -> None:
        """
        Only the configured issuer, to the byte.

        Security row 16.
        """
        for issuer in (ISSUER + "/", ISSUER.upper(), "https://evil.test", "", None, [ISSUER], 7):
            self.assert_problem(self.changed(iss=issuer), "issuer")

    def test_audience(self) -> None:
        """
        Only tokens for us.

        Security row 16.
        """
        for audience in ("other", CLIENT_ID + " ", "", None, [], ["other"], {CLIENT_ID: 1}, 7, [[CLIENT_ID]]):
            self.assert_problem(self.changed(aud=audience), "audience")
        self.verify(self.changed(aud=[CLIENT_ID]))

    def test_authorized_party(self) -> None:
        """
        With several audiences the token says that it was made for us; if it says so, it must be us.

        Security row 16.
        """
        self.assert_problem(self.changed(aud=[CLIENT_ID, "other"]), "authorized_party")
        self.assert_problem(self.changed(aud=[CLIENT_ID, "other"], azp="other"), "authorized_party")
        self.assert_problem(self.changed(azp="other"), "authorized_party")
        self.assert_problem(self.changed(azp=""), "authorized_party")
        self.verify(self.changed(aud=["other", CLIENT_ID], azp=CLIENT_ID))

    def test_nonce(self) -> None:
        """Only the answer to this very sign-in."""
        for nonce in ("other", "", None, "the-nonce ", ["the-nonce"], 7, "\ud800"):
            self.assert_problem(self.changed(nonce=nonce), "nonce")

    def test_subject(self) -> None:
        """A token without a proper subject is nobody's."""
        for subject in ("", None, 7, ["ada"], "x" * 256):
            self.assert_problem(self.changed(sub=subject), "subject")

    def test_times(self) -> None:
        """
        Expired, not yet valid, and from the future are refused beyond the leeway, and not within.

        Security row 16.
        """
        self.assert_problem(self.changed(exp=NOW - 60), "expired")
        self.assert_problem(self.changed(iat=NOW + 61), "issued_in_future")
        self.assert_problem(self.changed(nbf=NOW + 61), "not_yet_valid")
        self.verify(self.changed(exp=NOW - 59, iat=NOW + 59, nbf=NOW + 59))

    def test_times_needed(self) -> None:
        """There is no token without an end, or without a beginning."""
        self.assert_problem(self.changed(exp=None), "time_missing")
        self.assert_problem(self.changed(iat=None), "time_missing")

    def test_huge_end(self) -> None:
        """
        A token that is to be good for ever was made by nobody sane.

        Security row 16.
        """
        for end in (NOW + MAXIMUM_LIFETIME_SECONDS + 1, 1e300, 10**400, 2**63):
            self.assert_problem(self.changed(exp=end), "lifetime", "time_malformed", "claims_malformed")

    def test_strange_times(self) -> None:
        """A time is a number, and a finite one."""
        strange: list[Any] = ["1800000300", True, [NOW], {}, "NaN"]
        for name in ("exp", "iat", "nbf", "auth_time"):
            for value in strange:
                self.assert_problem(self.changed(**{name: value}), "time_malformed")
        for literal in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
            payload = json.dumps(RIGHT).encode().replace(b'"exp": 1800000300.0', b'"exp": ' + literal)
            self.assertIn(literal, payload)
            self.assert_problem(signed(payload), "claims_malformed", "time_malformed")

    def test_claims_are_an_object(self) -> None:
        """
        A genuine signature over anything else than an object proves nothing.

        Security row 16.
        """
        for payload in (b"[]", b'"ada"', b"7", b"null", b"true", b"", b"{", b"\xff\xfe", b"[" * 100_000):
            self.assert_problem(signed(payload), "claims_malformed", "malformed")

    def test_names_twice(self) -> None:
        """A claim that stands twice means different things to different readers."""
        payload = json.dumps(RIGHT).encode()[:-1] + b', "sub": "mallory"}'
        self.assert_problem(signed(payload), "claims_malformed")

    def test_access_token_hash(self) -> None:
        """The access token that comes along is the one that the ID token speaks of."""
        digest = hashlib.sha256(b"access").digest()
        token = self.changed(at_hash=encoded(digest[:16]))
        self.verify(token, access_token="access")
        self.verify(token)
        self.assert_problem(token, "access_token_hash", access_token="other")
        for wrong in ("", 7, encoded(digest), "\ud800"):
            self.assert_problem(self.changed(at_hash=wrong), "access_token_hash", access_token="access")
        self.assert_problem(token, "access_token_hash", access_token="\ud800")

    def test_too_long(self) -> None:
        """A token beyond all measure is not looked at."""
        self.assert_problem("A" * (TOKEN_LIMIT + 1), "too_long")

    @settings(max_examples=200, deadline=None)
    @given(token=st.text(max_size=200) | st.text(alphabet="eyJ.AQ-_=", max_size=60))
    def test_rubbish(self, token: str) -> None:
        """Whatever comes, the answer is a refusal and no other exception."""
        with self.assertRaises(TokenProblem):
            self.verify(token)

    @settings(max_examples=150, deadline=None)
    @given(
        header=ANY_JSON
        | st.fixed_dictionaries(
            {}, optional={"alg": ANY_JSON | st.just("RS256"), "kid": ANY_JSON, "typ": ANY_JSON}
        )
    )
    def test_any_header(self, header: Any) -> None:
        """Nor does any JSON in the header's place."""
        with self.assertRaises(TokenProblem):
            self.verify(f"{encoded(header)}.{encoded(RIGHT)}.AAAA")

    def test_jwe(self) -> None:
        """An encrypted token has five parts, and no place here."""
        self.assert_problem("a.b.c.d.e", "malformed")

    def test_right_by_another_library(self) -> None:
        """What PyJWT itself calls an encoded token verifies too."""
        claims = {**RIGHT, "iat": int(NOW), "exp": int(NOW) + 300}
        token = jwt.encode(claims, rsa_key(), "RS256", headers={"kid": "k1"})
        self.assertEqual(self.verify(token), claims)
