"""
What is published: applications, connector groups, connectors.

Names and defaults are those of C{applications.toml}. A setting that is known
but not built yet is refused by name, never ignored.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from appproxy.model.principal import CLAIM_NAMES
from appproxy.model.units import Duration
from appproxy.model.web_address import WebAddress, WebAddressField

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
"""Lower-case letters, digits and inner hyphens, at most 63: fits keys, labels and host names."""

MAXIMUM_BACKEND_TIMEOUT_SECONDS: Final = 30 * 86400.0
"""Thirty days: any real wait fits, and no timer overflows."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_RESERVED_HEADERS: Final = re.compile(
    r"(?:host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|cookie|"
    r"forwarded|x-forwarded-.*|x-real-ip|x-request-id|proxy-.*)\Z"
)


class Model(BaseModel):
    """Frozen, strict about names: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=False)


def _not_supported_yet(value: object) -> object:
    raise ValueError("not supported yet")


NotSupportedYet = Annotated[None, BeforeValidator(_not_supported_yet)]
"""A key that is reserved: writing it is an error that says so."""


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


class HeaderSignOn(Model):
    """The connector tells the application who the user is, in headers."""

    mode: Literal["headers"]
    headers: dict[Annotated[str, BeforeValidator(_header_name)], HeaderSource] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> HeaderSignOn:
        seen: dict[str, str] = {}
        for name in self.headers:
            other = seen.setdefault(re.sub("[^a-z0-9]", "", name.lower()), name)
            if other != name:
                raise ValueError(f"{other!r} and {name!r} are one header to an application")
        return self


SUPPORTED_SIGN_ON_MODES: Final = ("none", "headers")
PLANNED_SIGN_ON_MODES: Final = ("kerberos", "form", "basic", "saml", "linked")


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
    Annotated[NoSignOn | HeaderSignOn, Field(discriminator="mode")], BeforeValidator(_known_mode)
]


def _same_site(value: object) -> object:
    if value == "none":
        raise ValueError('"none" is not supported yet; use "lax" or "strict"')
    return value


class CookieSettings(Model):
    """How the edge sets its own session cookie at this application's host."""

    http_only: StrictBool = True
    secure: Literal[True] = True
    persistent: StrictBool = False
    same_site: Annotated[Literal["lax", "strict"], BeforeValidator(_same_site)] = "lax"


def _off_until_built(value: object) -> object:
    if value is True:
        raise ValueError("not supported yet; leave it out or set it to false")
    return value


class Application(Model):
    """One published application, without its id (the key that it stands under)."""

    name: str = Field(min_length=1, max_length=200)
    external_url: WebAddressField
    internal_url: WebAddressField
    connector_group: Identifier
    pre_authentication: Literal["sign_in", "passthrough"] = "sign_in"
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    everyone: StrictBool = False
    sso: SignOn = NoSignOn()
    backend_timeout: Annotated[Duration, Field(gt=0, le=MAXIMUM_BACKEND_TIMEOUT_SECONDS)] = 85.0
    translate_host_header: StrictBool = True
    translate_links_in_body: Annotated[Literal[False], BeforeValidator(_off_until_built)] = False
    verify_backend_certificate: StrictBool = True
    cookie: CookieSettings = CookieSettings()
    ambiguous_paths: Literal["refuse", "pass"] = "refuse"
    upgrades: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")], ...] = ("websocket",)
    retry: StrictBool = True
    websocket_origins: tuple[str, ...] = ()
    home_page_url: WebAddressField | None = None
    visible: StrictBool = True
    icon_file: NotSupportedYet = None
    description: str = Field(default="", max_length=2000)
    category: str = Field(default="", max_length=200)
    maintenance: NotSupportedYet = None
    alternate_url: NotSupportedYet = None
    segments: NotSupportedYet = None
    cors: NotSupportedYet = None

    @model_validator(mode="after")
    def _passthrough_has_no_people(self) -> Application:
        if self.pre_authentication != "passthrough":
            if self.external_url.scheme != "https":
                raise ValueError("external_url: an application with sign-in has an https address")
            return self
        if self.users or self.groups or self.everyone:
            raise ValueError("a passthrough application takes no users, groups or everyone: nobody signs in")
        if self.sso.mode != "none":
            raise ValueError("a passthrough application takes no sso: nobody signs in")
        return self


class ConnectorGroup(Model):
    """Connectors that may serve the same applications."""

    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=2000)


class Connector(Model):
    """
    A connector (or an edge or relay that enrolled) as the store knows it.

    @ivar fingerprints: SHA-256 (hex) of the certificates issued to it, newest last.
    @ivar revoked_at: RFC 3339, empty while it is trusted.
    """

    name: str
    group: str = ""
    role: Literal["connector", "edge", "relay"] = "connector"
    fingerprints: tuple[str, ...] = ()
    enrolled_at: str = ""
    expires_at: str = ""
    revoked_at: str = ""


class Backend(Model):
    """
    What a connector may know of an application: no users, no groups.

    @ivar id: the application's id in the catalog.
    """

    id: Identifier
    external_url: WebAddressField
    internal_url: WebAddressField
    pre_authentication: Literal["sign_in", "passthrough"]
    sso: SignOn
    backend_timeout: Duration
    translate_host_header: StrictBool
    verify_backend_certificate: StrictBool
    upgrades: tuple[str, ...]

    @property
    def claims(self) -> frozenset[str]:
        """The claims that signing on to this application needs."""
        if isinstance(self.sso, HeaderSignOn):
            return frozenset(source.claim for source in self.sso.headers.values() if source.claim)
        return frozenset()


def backend_view(application_id: str, application: Application) -> Backend:
    """The part of an application that its connectors are told."""
    return Backend.model_validate(
        {
            "id": application_id,
            **{name: getattr(application, name) for name in Backend.model_fields if name != "id"},
        }
    )


def is_same_site(address: WebAddress, other: WebAddress) -> bool:
    """Whether two addresses share scheme, host and port."""
    return (address.scheme, address.host, address.port) == (other.scheme, other.host, other.port)
