"""ID tokens: L{appproxy.signin.id_token}, forged in form and strange in content."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appproxy.signin.id_token import Expectations, TokenProblem, verify_id_token
from appproxy.signin.keys import parse_key_set
from tests.fuzz.support import hold, refused, same
from tests.signin.support import public_jwk
from tests.signin.support import signed as signed_by

NOW: Final = 1_800_000_000.0
ISSUER: Final = "https://login.example.com"
CLIENT: Final = "client"
NONCE: Final = "the-nonce"

# The same key in each run: what was found has to be found again.
_key: Final = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
_elliptic_key: Final = derive_private_key(7, SECP256R1())
_public: Final = _key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def encoded(part: bytes) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


KEYS: Final = parse_key_set(
    {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": encoded(_public), "use": "sig"},
            public_jwk(_elliptic_key, kid="k2", use="sig"),
        ]
    }
)
EXPECTED: Final = Expectations(ISSUER, CLIENT, NONCE)
RIGHT: Final[dict[str, Any]] = {
    "iss": ISSUER, "aud": CLIENT, "sub": "ada", "iat": NOW, "exp": NOW + 300, "nonce": NONCE,
}  # fmt: skip
HEADER: Final = b'{"alg":"EdDSA","kid":"k1","typ":"JWT"}'

_NONE: Final = b'{"alg":"none"}'
_HMAC: Final = b'{"alg":"HS256","kid":"k1"}'


def signed(payload: bytes, header: bytes = HEADER) -> str:
    """A token that the provider really signed, over any payload."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(_key.sign(text.encode()))}"


GENUINE: Final = signed(json.dumps(RIGHT).encode())

WORDS: Final = (
    b"\\ud800",
    b"NaN",
    b"1e400",
    b'"azp":',
    b'"nbf":',
    b'"crit":',
    b'"at_hash":',
    b"[[[[[[[[",
    b"null",
)


def seeds() -> Iterable[bytes]:
    """Tokens (a first byte that is no brace), and claims that will be signed (in braces)."""
    yield GENUINE.encode()
    payload = GENUINE.split(".")[1]
    yield f"{encoded(_NONE)}.{payload}.".encode()
    yield f"{encoded(_HMAC)}.{payload}.{encoded(_public)}".encode()
    for name, value in (
        ("aud", [CLIENT, "x"]), ("azp", CLIENT), ("azp", "x"), ("exp", 1e400), ("iat", "1"),
        ("nbf", NOW + 1e9),
        ("at_hash", "x"), ("sub", "a" * 256), ("nonce", "other"), ("auth_time", True), ("iss", None),
        ("nonce", "\ud800"), ("at_hash", "\ud800"),
    ):  # fmt: skip
        yield json.dumps(RIGHT | {name: value}).encode()
    yield json.dumps(RIGHT).encode()
    yield b"H" + HEADER
    yield b"K" + json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": encoded(_public)}]}).encode()
    yield b'K{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "crv": "P-256", "x": "AA"}]}'


def target(data: bytes) -> None:
    """Claims that are signed as they are, a header that is, a key set, or a whole token."""
    if data[:1] == b"{":
        check_claims(verified(signed(data)))
        # Of an Ed25519 key's tokens no hash is looked at.
        check_claims(verified(signed_by(data, _elliptic_key, "ES256", "k2")))
    elif data[:1] == b"H":
        check_claims(verified(signed(json.dumps(RIGHT).encode(), data[1:])))
    elif data[:1] == b"K":
        check_keys(data[1:])
    else:
        token = data.decode("latin-1")
        claims = verified(token)
        # What is not the genuine one, to the byte, is forged.
        same(claims, RIGHT if token == GENUINE else None, "a forged token is accepted")


def verified(token: str) -> dict[str, Any] | None:
    """Its claims; L{None} if it is refused."""
    return refused(TokenProblem, verify_id_token, token, KEYS, EXPECTED, NOW, "access token")


def check_claims(claims: dict[str, Any] | None) -> None:
    """Accepted claims say what they have to."""
    if claims is None:
        return
    same((claims["iss"], claims["nonce"]), (ISSUER, NONCE), "issuer and nonce")
    hold(claims["aud"] == CLIENT or CLIENT in claims["aud"], "audience", claims["aud"])
    hold(claims.get("azp") in (None, CLIENT), "authorized party", claims.get("azp"))
    hold(claims["exp"] > NOW - 60 and claims["iat"] <= NOW + 60, "times", claims)
    hold(isinstance(claims["sub"], str) and claims["sub"] != "", "subject", claims["sub"])


def check_keys(document: bytes) -> None:
    """A key set is read or refused; no key verifies with an algorithm of another type."""
    try:
        plain = json.loads(document)
    except (ValueError, RecursionError):
        return
    if not isinstance(plain, dict):
        return
    keys = refused(ValueError, parse_key_set, plain)
    for each in keys.keys if keys is not None else ():
        hold(not each.algorithms & {"none", "HS256", "HS384", "HS512"}, "algorithms", each.algorithms)
        kinds = {"RSA": "RS", "EC": "ES", "OKP": "Ed", "PSS": "PS"}
        type_name = type(each.public_key).__name__
        allowed = ("RS", "PS") if "RSA" in type_name else (kinds["OKP" if "Ed25519" in type_name else "EC"],)
        hold(all(name.startswith(allowed) for name in each.algorithms), "a key's type", each.algorithms)
