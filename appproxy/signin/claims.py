"""
From the provider's claims to a principal, by the administrator's mapping. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from appproxy.model.principal import Principal
from appproxy.policy.decide import canonical_name

MAXIMUM_GROUPS: Final = 2000
"""Groups of one user that are kept: ten times what large directories put into a token."""

MAXIMUM_TEXT: Final = 1024
"""Characters of one claim: names and addresses are far shorter, and headers carry them."""

DEFAULT_MAPPING: Final[Mapping[str, Sequence[str]]] = {
    "subject": ("sub",),
    "user_principal_name": ("upn", "preferred_username", "email"),
    "display_name": ("name",),
    "mail": ("email",),
    "groups": ("groups",),
    "on_premises_user_principal_name": ("onprem_upn",),
    "on_premises_sam_account_name": ("onprem_sam_account_name",),
    "on_premises_sid": ("onprem_sid",),
}

_PRINCIPAL_NAMES: Final = frozenset({"user_principal_name", "on_premises_user_principal_name"})
_MAIL_CLAIM: Final = "email"


class ClaimsProblem(Exception):
    """
    The claims do not say safely who this is.

    @ivar claim: which of them.
    """

    def __init__(self, claim: str, what: str) -> None:
        super().__init__(f"{claim}: {what}")
        self.claim = claim


@dataclass(frozen=True)
class ClaimsMapping:
    """
    @ivar sources: for each name of a principal the claims to look at; the first that is present counts.
    @ivar group_names: readable name to what the provider sends.
    """

    sources: Mapping[str, Sequence[str]] = field(default_factory=lambda: DEFAULT_MAPPING)
    group_names: Mapping[str, str] = field(default_factory=dict)

    def is_complete(self, claims: Mapping[str, Any]) -> bool:
        """Whether every name has a claim, so that nobody needs to ask for more."""
        return all(any(claim in claims for claim in sources) for sources in self.sources.values() if sources)

    def principal(self, issuer: str, claims: Mapping[str, Any]) -> Principal:
        """
        The user, without a session yet.

        @param claims: of a verified token.
        @raise ClaimsProblem: if a claim cannot be what it is taken for.
        """
        subject = self._text("subject", claims)
        if not subject or subject not in self._present("subject", claims)[:1]:
            raise ClaimsProblem("subject", "is missing, or has blanks around it")
        return Principal(
            issuer=issuer,
            subject=subject,
            session_id="",
            user_principal_name=self._principal_name("user_principal_name", claims),
            display_name=self._text("display_name", claims),
            mail=self._text("mail", claims),
            groups=frozenset(self._groups(claims)),
            on_premises_user_principal_name=self._principal_name("on_premises_user_principal_name", claims),
            on_premises_sam_account_name=self._text("on_premises_sam_account_name", claims),
            on_premises_sid=self._text("on_premises_sid", claims),
        )

    def _present(self, name: str, claims: Mapping[str, Any]) -> list[Any]:
        """The claims that are there and may be believed, in the order of the mapping."""
        return [
            claims[source]
            for source in self.sources.get(name, ())
            if claims.get(source) not in (None, "") and (source != _MAIL_CLAIM or _is_verified(claims))
        ]

    def _text(self, name: str, claims: Mapping[str, Any]) -> str:
        present = self._present(name, claims)
        return checked_text(name, present[0]) if present else ""

    def _principal_name(self, name: str, claims: Mapping[str, Any]) -> str:
        """
        The first claim that is a name at a domain.

        A bare user name (some providers' C{preferred_username}) is not one and
        is passed over; two at signs are an attempt at something.
        """
        for value in self._present(name, claims):
            text = checked_text(name, value)
            local, at, domain = text.partition("@")
            if not at:
                continue
            if not local or not domain or "@" in domain or any(each in text for each in "/\\ \"'<>,;"):
                raise ClaimsProblem(name, "is not one name at one domain")
            return canonical_name(text)
        return ""

    def _groups(self, claims: Mapping[str, Any]) -> set[str]:
        """
        The readable name where there is one, else what the provider sends.

        A group that merely calls itself by a readable name is left out: what
        carries that name is decided by the administrator, not by whoever may
        make groups at the provider.
        """
        present = self._present("groups", claims)
        values = present[0] if present else []
        if isinstance(values, str):
            values = [values]
        if not isinstance(values, list) or len(values) > MAXIMUM_GROUPS:
            raise ClaimsProblem("groups", f"is not a list of at most {MAXIMUM_GROUPS}")
        sent = {checked_text("groups", value) for value in values}
        named = {name for name, value in self.group_names.items() if value in sent}
        unnamed = sent - set(self.group_names.values()) - set(self.group_names)
        return named | unnamed


def checked_text(name: str, value: object) -> str:
    """
    A claim as text that is fit for a header.

    @raise ClaimsProblem: if it is no text, too long, or holds control characters.
    """
    if not isinstance(value, str):
        raise ClaimsProblem(name, "is not text")
    text = value.strip()
    if len(text) > MAXIMUM_TEXT or not text.isprintable():
        raise ClaimsProblem(name, "is too long or not printable")
    return text


def _is_verified(claims: Mapping[str, Any]) -> bool:
    """Some providers write the boolean as text."""
    verified = claims.get("email_verified")
    return verified is True or verified == "true"
