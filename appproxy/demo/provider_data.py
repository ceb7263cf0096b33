"""
Who may sign in at the demo's provider and for whom, and what it remembers of that.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from authlib.oauth2.rfc6749 import ClientMixin  # type: ignore[import-untyped]
from authlib.oidc.core import AuthorizationCodeMixin  # type: ignore[import-untyped]

MAXIMUM_KEPT: Final = 1000
"""Codes, access tokens and nonces that are remembered; the oldest go first."""

SCOPES: Final = ("openid", "profile", "email")

_T = TypeVar("_T")


@dataclass(frozen=True)
class DemoUser:
    """
    One person that may sign in, with the claims that are told of them.

    @ivar mail: their user name, too.
    @ivar note: what is special about them, for whoever tries the demo.
    """

    subject: str
    name: str
    mail: str
    groups: tuple[str, ...]
    password: str
    note: str = ""

    def claims(self) -> dict[str, object]:
        """What the ID token and C{userinfo} say (OpenID Connect Core, section 5.1)."""
        return {
            "sub": self.subject,
            "name": self.name,
            "preferred_username": self.mail,
            "email": self.mail,
            "email_verified": True,
            "groups": list(self.groups),
        }


def people_lines(users: Sequence[DemoUser]) -> str:
    """Who they are, for a terminal."""
    names, mails = (
        max(map(len, column)) for column in zip(*((each.name, each.mail) for each in users), strict=True)
    )
    return "\n".join(
        f"    {each.name:{names}}  {each.mail:{mails}}  {each.password}   {each.note}" for each in users
    )


@dataclass(frozen=True)
class DemoClient(ClientMixin):  # type: ignore[misc]
    """The one relying party: the demo's edge."""

    client_id: str
    client_secret: str
    redirect_uri: str
    post_logout_redirect_uri: str

    @property
    def client_metadata(self) -> dict[str, object]:
        """What RP-initiated logout asks for."""
        return {"post_logout_redirect_uris": [self.post_logout_redirect_uri]}

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(each for each in (scope or "").split() if each in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), self.client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code that was given out and not used yet."""

    code: str
    user: DemoUser
    redirect_uri: str
    scope: str
    nonce: str | None
    auth_time: int
    code_challenge: str | None
    code_challenge_method: str | None
    expires_at: float

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> list[str]:
        return ["pwd"]


class Kept(Generic[_T]):
    """A bounded memory, oldest out first."""

    def __init__(self, limit: int = MAXIMUM_KEPT) -> None:
        self._limit = limit
        self._items: OrderedDict[str, _T] = OrderedDict()

    def put(self, key: str, item: _T) -> None:
        """Remember C{item}; the oldest goes when there are too many."""
        self._items[key] = item
        while len(self._items) > self._limit:
            self._items.popitem(last=False)

    def get(self, key: str) -> _T | None:
        """What is remembered under C{key}."""
        return self._items.get(key)

    def take(self, key: str) -> _T | None:
        """The same, and forget it."""
        return self._items.pop(key, None)
