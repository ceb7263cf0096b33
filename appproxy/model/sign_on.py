"""
How users are signed on to an application: C{applications.NAME.sso}.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from appproxy.model.principal import CLAIM_NAMES
from appproxy.model.schema import Model
from appproxy.model.service_name import parse_service

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_RESERVED_HEADERS: Final = re.compile(
    r"(?:host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|cookie|"
    r"forwarded|x-forwarded-.*|x-real-ip|x-request-id|proxy-.*)\Z"
)


class HeaderSource(Model):
    """
    Where a header's value comes from: a claim of the user, or a constant.

    @ivar join: what stands between several values (groups).
    """

    claim: str | None = None
    value: str | None = None
    join: Annotated[str, Field(min_length=1)] = ","

    @model_validator(mode="after")
    def _one_source(self) -> HeaderSource:
        if (self.claim is None) == (self.value is None):
            raise ValueError("give either claim or value")
        if self.claim is not None and self.claim not in CLAIM_NAMES:
            raise ValueError(f"unknown claim {self.claim!r}; there are {', '.join(sorted(CLAIM_NAMES))}")
        for text in (self.value or "", self.join):
            if not text.isprintable():
                raise ValueError("a header's value has no control characters")
        return self


def _header_name(name: str) -> str:
    if not _TOKEN.match(name):
        raise ValueError(f"{name!r} is not a header name")
    if _RESERVED_HEADERS.match(name.lower().replace("_", "-").replace(".", "-")):
        raise ValueError(f"{name!r} belongs to the proxy and cannot be set")
    return name


class NoSignOn(Model):
    """The application signs users on by itself."""

    mode: Literal["none"] = "none"

    @property
    def claims(self) -> frozenset[str]:
        """What of the user it needs: nothing."""
        return frozenset()


class HeaderSignOn(Model):
    """The connector tells the application who the user is, in headers."""

    mode: Literal["headers"]
    headers: dict[Annotated[str, BeforeValidator(_header_name)], HeaderSource] = Field(min_length=1)

    @property
    def claims(self) -> frozenset[str]:
        """What of the user it needs."""
        return frozenset(source.claim for source in self.headers.values() if source.claim)

    @model_validator(mode="after")
    def _names_differ(self) -> HeaderSignOn:
        seen: dict[str, str] = {}
        for name in self.headers:
            other = seen.setdefault(re.sub("[^a-z0-9]", "", name.lower()), name)
            if other != name:
                raise ValueError(f"{other!r} and {name!r} are one header to an application")
        return self


LoginIdentity = Literal[
    "user_principal_name",
    "on_premises_user_principal_name",
    "user_principal_username",
    "on_premises_user_principal_username",
    "on_premises_sam_account_name",
]
"""Which of a user's names finds their account in the directory: the original's five choices."""

CLAIM_OF_LOGIN_IDENTITY: Final[dict[LoginIdentity, str]] = {
    "user_principal_name": "user_principal_name",
    "on_premises_user_principal_name": "on_premises_user_principal_name",
    "user_principal_username": "user_principal_name",
    "on_premises_user_principal_username": "on_premises_user_principal_name",
    "on_premises_sam_account_name": "on_premises_sam_account_name",
}
"""Where each comes from. Guests have no name on the premises: it is their user principal name for all."""


def web_service_name(value: str) -> str:
    """
    The name of a web application in Kerberos: C{HTTP/host}, or C{HTTP/*.domain}.

    @raise ValueError: if it is something else.
    """
    try:
        service = parse_service(value)
    except ValueError as error:
        raise ValueError(f'{error}; write "HTTP/" and a host name') from None
    if service.service_class.upper() != "HTTP":
        raise ValueError('a web application\'s service is called "HTTP/" and its host name')
    return str(service._replace(service_class="HTTP"))


class KerberosSignOn(Model):
    """
    Integrated Windows Authentication: the connector gets a ticket in the user's name.

    @ivar service_principal_name: the application's, as the directory has it; with C{*.domain} the
        host of the internal URL takes the star's place.
    @ivar login_identity: which of the user's names finds their account.
    @ivar token: the ticket as it is sent: wrapped for negotiation (RFC 4178), or alone.
    @ivar send: with each request, or only after the application has asked with a 401.
    @ivar mutual_authentication: whether the application must prove itself: where it answers with a
        proof, that is checked in any case but C{off}.
    """

    mode: Literal["kerberos"]
    service_principal_name: Annotated[str, AfterValidator(web_service_name)]
    login_identity: LoginIdentity = "user_principal_name"
    token: Literal["spnego", "kerberos"] = "spnego"
    send: Literal["first", "after_401"] = "first"
    mutual_authentication: Literal["offered", "required", "off"] = "offered"

    @property
    def claims(self) -> frozenset[str]:
        """What of the user it needs; tickets are kept by subject."""
        return frozenset({CLAIM_OF_LOGIN_IDENTITY[self.login_identity], "user_principal_name", "subject"})


SUPPORTED_SIGN_ON_MODES: Final = ("none", "headers", "kerberos")
PLANNED_SIGN_ON_MODES: Final = ("form", "basic", "saml", "linked")


def _known_mode(value: object) -> object:
    mode = value.get("mode", "none") if isinstance(value, dict) else "none"
    if mode in PLANNED_SIGN_ON_MODES:
        raise ValueError(
            f"mode {mode!r} is not supported yet; use one of {', '.join(SUPPORTED_SIGN_ON_MODES)}"
        )
    if isinstance(value, dict) and "mode" not in value:
        return {**value, "mode": "none"}
    return value


SignOn = Annotated[
    Annotated[NoSignOn | HeaderSignOn | KerberosSignOn, Field(discriminator="mode")],
    BeforeValidator(_known_mode),
]
