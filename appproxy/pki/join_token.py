"""
Join tokens as text: what a new connector or relay is given to begin with.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from appproxy.model.web_address import normalise_host
from appproxy.pki.certificates import ROLES
from appproxy.transport.addresses import HostPort

PREFIX: Final = "apj1."

MAXIMUM_TOKEN_LENGTH: Final = 4096
"""One line to paste; room for L{MAXIMUM_ADDRESSES} names."""

MAXIMUM_ADDRESSES: Final = 16
"""Each is tried in turn at enrolment; the others come through the tunnel later."""

_SECRET_BYTES: Final = 32
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_NAMES: Final = frozenset({"addresses", "connect_host", "ca_sha256", "role", "secret"})


class BadToken(ValueError):
    """A text is not a join token; the message never repeats any of it."""


@dataclass(frozen=True)
class JoinToken:
    """
    @ivar addresses: C{host:port} of edges or relays, tried in turn.
    @ivar connect_host: the name that their certificates carry.
    @ivar ca_sha256: SHA-256 (hex) of the root's certificate.
    @ivar role: C{connector}, C{edge} or C{relay}.
    @ivar secret: what the token is worth; the store has only its hash.
    """

    addresses: tuple[str, ...]
    connect_host: str
    ca_sha256: str
    role: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The token to paste."""
        plain = {name: getattr(self, name) for name in sorted(_NAMES)}
        encoded = json.dumps(plain, separators=(",", ":")).encode()
        return PREFIX + base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()

    @property
    def digest(self) -> str:
        """What the store knows the token by."""
        return secret_digest(self.secret)


def new_token(addresses: Sequence[str], connect_host: str, ca_sha256: str, role: str) -> JoinToken:
    """
    A token with a new secret.

    @raise BadToken: if a part of it is not what it should be.
    """
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return _checked(
        {
            "addresses": list(addresses),
            "connect_host": connect_host,
            "ca_sha256": ca_sha256,
            "role": role,
            "secret": secret,
        }
    )


def parse_token(text: str) -> JoinToken:
    """
    Read a token as it was pasted: blanks and line breaks around and inside do no harm.

    @raise BadToken: if it is none.
    """
    packed = "".join(text.split())
    if not packed.startswith(PREFIX):
        raise BadToken(f"a join token begins with {PREFIX!r}")
    if len(packed) > MAXIMUM_TOKEN_LENGTH:
        raise BadToken("this is too long to be a join token")
    body = packed.removeprefix(PREFIX)
    try:
        plain = json.loads(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise BadToken("the join token is damaged; copy all of it") from None
    if not isinstance(plain, dict) or set(plain) != _NAMES:
        raise BadToken("the join token is damaged, or of another version")
    return _checked(plain)


def secret_digest(secret: str) -> str:
    """What the store knows a token by. The secret is random and long: a plain hash gives nothing away."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checked(plain: dict[str, Any]) -> JoinToken:
    addresses = plain["addresses"]
    if not isinstance(addresses, list) or not 0 < len(addresses) <= MAXIMUM_ADDRESSES:
        raise BadToken(f"a join token has 1 to {MAXIMUM_ADDRESSES} addresses")
    if not all(
        isinstance(text, str) for text in (*addresses, *(plain[name] for name in _NAMES - {"addresses"}))
    ):
        raise BadToken("the join token is damaged")
    if (
        not _SHA256.match(plain["ca_sha256"])
        or not _SECRET.match(plain["secret"])
        or plain["role"] not in ROLES
    ):
        raise BadToken("the join token is damaged")
    try:
        connect_host = normalise_host(plain["connect_host"])
        dialled = tuple(str(HostPort.parse(address)) for address in addresses)
    except ValueError:
        raise BadToken("the join token names an address that is none") from None
    return JoinToken(dialled, connect_host, plain["ca_sha256"], plain["role"], plain["secret"])
