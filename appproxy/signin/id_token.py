"""
Verifying an ID token (OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725). Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, Final

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from appproxy.signin.keys import ALGORITHMS, KeySet

TOKEN_LIMIT: Final = 256 * 1024
"""Characters of an ID token; thousands of groups fit."""

MAXIMUM_LIFETIME_SECONDS: Final = 366 * 86400.0
"""A token that claims to be good for longer was not made by a sane provider."""

_SUBJECT_LIMIT: Final = 255
"""Characters of C{sub} (OpenID Connect Core 1.0, section 2)."""

_HASHES: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class TokenProblem(Exception):
    """
    The token proves nothing.

    @ivar rule: which rule it breaks, for the log.
    """

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class UnknownKey(TokenProblem):
    """No key that is known may have signed it: the provider may have a new one."""

    def __init__(self) -> None:
        super().__init__("unknown_key")


@dataclass(frozen=True)
class Expectations:
    """
    What the token must say.

    @ivar leeway: seconds that the provider's clock may be off.
    @ivar algorithms: what the provider says that it signs with.
    """

    issuer: str
    client_id: str
    nonce: str
    leeway: float = 60.0
    algorithms: frozenset[str] = ALGORITHMS


def verify_id_token(
    token: str,
    keys: KeySet,
    expected: Expectations,
    now: float,
    access_token: str | None = None,
) -> dict[str, Any]:
    """
    The claims of a genuine, fresh ID token that is meant for us.

    @param access_token: what came with it; checked against C{at_hash} if the token has that.
    @raise UnknownKey: if it may verify with newer keys.
    @raise TokenProblem: if any rule is broken.
    """
    if len(token) > TOKEN_LIMIT:
        raise TokenProblem("too_long")
    algorithm, payload = _signed_payload(token, keys, expected.algorithms & ALGORITHMS)
    claims = _object(payload)
    _check_parties(claims, expected)
    _check_times(claims, expected.leeway, now)
    _check_nonce(claims, expected.nonce)
    if access_token is not None:
        _check_access_token(claims, algorithm, access_token)
    return claims


def _signed_payload(token: str, keys: KeySet, allowed: frozenset[str]) -> tuple[str, bytes]:
    verifier = PyJWS(algorithms=sorted(ALGORITHMS))
    try:
        header = verifier.get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError):
        raise TokenProblem("malformed") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise TokenProblem("algorithm")
    if "crit" in header or str(header.get("typ", "JWT")).upper() != "JWT":
        raise TokenProblem("header")
    candidates = keys.candidates(header.get("kid"), algorithm)
    if not candidates:
        raise UnknownKey
    for candidate in candidates:
        try:
            return algorithm, verifier.decode_complete(token, candidate.public_key, [algorithm])["payload"]
        except (PyJWTError, ValueError, TypeError):
            continue
    raise TokenProblem("signature")


def _object(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise TokenProblem("claims_malformed") from None
    if not isinstance(claims, dict):
        raise TokenProblem("claims_malformed")
    return claims


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice means one thing to us and another to somebody else."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _check_parties(claims: dict[str, Any], expected: Expectations) -> None:
    if claims.get("iss") != expected.issuer:
        raise TokenProblem("issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise TokenProblem("audience")
    party = claims.get("azp")
    if party is None and len(audiences) > 1:
        raise TokenProblem("authorized_party")
    if party is not None and party != expected.client_id:
        raise TokenProblem("authorized_party")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_LIMIT:
        raise TokenProblem("subject")


def _check_times(claims: dict[str, Any], leeway: float, now: float) -> None:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires is None or issued is None:
        raise TokenProblem("time_missing")
    if now >= expires + leeway:
        raise TokenProblem("expired")
    if expires > now + MAXIMUM_LIFETIME_SECONDS:
        raise TokenProblem("lifetime")
    if issued > now + leeway:
        raise TokenProblem("issued_in_future")
    not_before = _time(claims, "nbf")
    if not_before is not None and not_before > now + leeway:
        raise TokenProblem("not_yet_valid")
    _time(claims, "auth_time")


def _time(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2)."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenProblem("time_malformed")
    try:
        seconds = float(value)
    except OverflowError:
        raise TokenProblem("time_malformed") from None
    if not math.isfinite(seconds):
        raise TokenProblem("time_malformed")
    return seconds


def _check_nonce(claims: dict[str, Any], expected: str) -> None:
    if not _is_text(claims.get("nonce"), expected.encode()):
        raise TokenProblem("nonce")


def _check_access_token(claims: dict[str, Any], algorithm: str, access_token: str) -> None:
    """C{at_hash} (OpenID Connect Core 1.0, section 3.1.3.6); for EdDSA it names no hash."""
    hashed, digest = claims.get("at_hash"), _HASHES.get(algorithm[-3:])
    if hashed is None or digest is None:
        return
    # JSON can bring halves of characters, which have no UTF-8: they become another token's hash.
    half = digest(access_token.encode("utf-8", "replace")).digest()
    expected = urlsafe_b64encode(half[: len(half) // 2]).rstrip(b"=")
    if not _is_text(hashed, expected):
        raise TokenProblem("access_token_hash")


def _is_text(claim: object, expected: bytes) -> bool:
    """Whether a claim is this text of ASCII."""
    return isinstance(claim, str) and claim.isascii() and hmac.compare_digest(claim.encode(), expected)
