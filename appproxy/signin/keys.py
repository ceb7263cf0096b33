"""
The provider's signing keys (JSON Web Key Set, RFC 7517). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

MAXIMUM_KEYS: Final = 100
"""Keys of one set that are looked at; large providers publish about ten."""

SMALLEST_RSA_BITS: Final = 2048
"""RFC 7518, section 3.3."""

_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS_OF_CURVE: Final = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}

ALGORITHMS: Final = frozenset(
    _RSA_ALGORITHMS + tuple(name for names in _ALGORITHMS_OF_CURVE.values() for name in names)
)
"""What an ID token may be signed with: public keys only. C{none} and HMAC never."""

_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_READERS: Final = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


@dataclass(frozen=True)
class SigningKey:
    """
    One public key.

    @ivar key_id: C{kid}, or L{None}.
    @ivar algorithms: what it may verify: its type decides, and its own C{alg}.
    """

    key_id: str | None
    algorithms: frozenset[str]
    public_key: Any = field(repr=False)


@dataclass(frozen=True)
class KeySet:
    """All usable keys of a provider."""

    keys: tuple[SigningKey, ...] = ()

    def candidates(self, key_id: str | None, algorithm: str) -> list[SigningKey]:
        """
        The keys that may have signed a token.

        @param key_id: the token's C{kid}; without one every key of the type may.
        """
        return [
            key
            for key in self.keys
            if algorithm in key.algorithms and (key_id is None or key.key_id == key_id)
        ]


def parse_key_set(document: Mapping[str, Any]) -> KeySet:
    """
    Read a key set; what is of no use to us in it is passed over.

    @raise ValueError: if it is no key set.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise ValueError("a key set has a list of keys")
    keys = [_parse_key(entry) for entry in entries[:MAXIMUM_KEYS] if isinstance(entry, dict)]
    return KeySet(tuple(key for key in keys if key is not None))


def _parse_key(entry: Mapping[str, Any]) -> SigningKey | None:
    algorithms = _algorithms(entry)
    key_type = entry.get("kty")
    if not algorithms or entry.get("use", "sig") != "sig" or not isinstance(key_type, str):
        return None
    # Only the public members are read: a private key published by mistake is not kept here.
    public = {name: entry[name] for name in _PUBLIC_MEMBERS[key_type] if name in entry}
    try:
        key = _READERS[key_type]({"kty": key_type, **public})
    except (PyJWTError, ValueError, TypeError, AttributeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
        return None
    key_id = entry.get("kid")
    return SigningKey(key_id if isinstance(key_id, str) else None, algorithms, key)


def _algorithms(entry: Mapping[str, Any]) -> frozenset[str]:
    kind, curve, declared = entry.get("kty"), entry.get("crv"), entry.get("alg")
    if kind == "RSA":
        possible = frozenset(_RSA_ALGORITHMS)
    elif isinstance(kind, str) and isinstance(curve, str):
        possible = frozenset(_ALGORITHMS_OF_CURVE.get((kind, curve), ()))
    else:
        return frozenset()
    return (
        possible if declared is None else possible & {declared} if isinstance(declared, str) else frozenset()
    )
