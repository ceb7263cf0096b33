"""
Who the signed-in user is, as pure data.

A user I{is} the pair (issuer, subject); everything else here is what the
administrator's claim mapping made of the provider's answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

CLAIM_NAMES: Final = frozenset(
    {
        "subject",
        "user_principal_name",
        "display_name",
        "mail",
        "groups",
        "on_premises_user_principal_name",
        "on_premises_sam_account_name",
        "on_premises_sid",
    }
)
"""The names that C{[sign_in.claims]} fills and that a header may carry."""


@dataclass(frozen=True)
class Principal:
    """
    The signed-in user, in one session.

    Equal principals have equal L{encoded} bytes, on every machine.
    """

    issuer: str
    subject: str
    session_id: str
    user_principal_name: str = ""
    display_name: str = ""
    mail: str = ""
    groups: frozenset[str] = field(default_factory=frozenset)
    on_premises_user_principal_name: str = ""
    on_premises_sam_account_name: str = ""
    on_premises_sid: str = ""

    @property
    def label(self) -> str:
        """What pages and logs call this user."""
        return self.user_principal_name or self.mail or self.subject

    def claim(self, name: str) -> str | tuple[str, ...]:
        """
        The value of one of L{CLAIM_NAMES}; several values come sorted.

        @raise KeyError: if C{name} is none of them.
        """
        if name not in CLAIM_NAMES:
            raise KeyError(name)
        value = getattr(self, name)
        return tuple(sorted(value)) if isinstance(value, frozenset) else str(value)

    def reduced_to(self, claims: Iterable[str]) -> Principal:
        """This user with only the named claims left: what a connector is told."""
        wanted = CLAIM_NAMES.intersection(claims)
        empty: dict[str, object] = dict.fromkeys(CLAIM_NAMES - wanted, "")
        if "groups" in empty:
            empty["groups"] = frozenset()
        return replace(self, **empty)  # type: ignore[arg-type]

    @cached_property
    def encoded(self) -> bytes:
        """Canonical JSON: sorted keys, no blanks, UTF-8."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def digest(self) -> bytes:
        """The first 8 bytes of the SHA-256 of L{encoded}."""
        return hashlib.sha256(self.encoded).digest()[:8]

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON: strings, and a sorted list for the groups."""
        plain: dict[str, object] = {
            "issuer": self.issuer,
            "session_id": self.session_id,
        }
        for name in CLAIM_NAMES:
            value = getattr(self, name)
            plain[name] = sorted(value) if isinstance(value, frozenset) else value
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, object]) -> Principal:
        """
        The reverse of L{as_dict}.

        @raise ValueError: if a name or a type is not as L{as_dict} writes it.
        """
        known = CLAIM_NAMES | {"issuer", "session_id"}
        if set(plain) != known:
            raise ValueError("a principal has other names than expected")
        groups = plain["groups"]
        if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
            raise ValueError("a principal's groups are not a list of strings")
        texts = {name: plain[name] for name in known - {"groups"}}
        if not all(isinstance(value, str) for value in texts.values()):
            raise ValueError("a principal's value is not a string")
        return cls(groups=frozenset(groups), **texts)  # type: ignore[arg-type]

    @classmethod
    def decode(cls, encoded: bytes) -> Principal:
        """
        The reverse of L{encoded}.

        @raise ValueError: if the bytes are not what L{encoded} writes.
        """
        plain = json.loads(encoded)
        if not isinstance(plain, dict):
            raise ValueError("a principal is not a JSON object")
        return cls.from_dict(plain)
