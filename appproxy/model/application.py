"""
What is published: applications, connector groups, connectors.

Names and defaults are those of C{applications.toml}. A setting that is known
but not built yet is refused by name, never ignored.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, model_validator

from appproxy.model.schema import Model, NotSupportedYet
from appproxy.model.sign_on import NoSignOn, SignOn
from appproxy.model.units import Duration
from appproxy.model.web_address import WebAddress, WebAddressField

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
"""Lower-case letters, digits and inner hyphens, at most 63: fits keys, labels and host names."""

MAXIMUM_BACKEND_TIMEOUT_SECONDS: Final = 30 * 86400.0
"""Thirty days: any real wait fits, and no timer overflows."""


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
    @ivar root: SHA-256 (hex) of the root of its newest certificate; empty for the first one.
    @ivar trusts: the same of the newest root that it said it trusts.
    @ivar drained_at: RFC 3339, empty while it gets streams.
    """

    name: str
    group: str = ""
    role: Literal["connector", "edge", "relay"] = "connector"
    fingerprints: tuple[str, ...] = ()
    enrolled_at: str = ""
    expires_at: str = ""
    revoked_at: str = ""
    root: str = ""
    trusts: str = ""
    drained_at: str = ""


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
        return self.sso.claims


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
