"""
C{connector.toml}: what a connector may ever do, whatever an edge asks of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from appproxy.config.allowed_backends import AllowedBackend
from appproxy.config.common import LogSettings, TlsSettings, read_settings
from appproxy.config.fields import (
    FilePath,
    HostPortText,
    ListenText,
    NetworkText,
    NotEmpty,
    OptionalFilePath,
    PositiveDuration,
)
from appproxy.config.secrets import SecretUnavailable, read_secret
from appproxy.model.problems import Problem
from appproxy.model.schema import Model
from appproxy.model.service_name import check_realm
from appproxy.model.sign_on import PLANNED_SIGN_ON_MODES, web_service_name
from appproxy.transport.addresses import HostPort, is_address
from appproxy.transport.connect_proxy import ConnectProxy


def _allowed_backend(value: str) -> str:
    AllowedBackend.parse(value)
    return value


def _sign_on_mode(value: object) -> object:
    if value in PLANNED_SIGN_ON_MODES:
        raise ValueError(f'"{value}" is not supported yet')
    return value


SignOnMode = Annotated[Literal["none", "headers", "kerberos"], BeforeValidator(_sign_on_mode)]

_DIRECTORY_SERVER: Final = re.compile(r"ldaps?://(?P<authority>(?:\[[^\]/]+\]|[^/:@\s]+)(?P<port>:\d+)?)/?\Z")
_ACCOUNT: Final = re.compile(r"[^@\\\s]+\Z")


def _proxy_url(value: str) -> str:
    if value:
        ConnectProxy.parse(value)
    return value


def _directory_server(value: str) -> str:
    match = _DIRECTORY_SERVER.match(value)
    if match is None:
        raise ValueError('write "ldaps://host", or "ldap://host" for StartTLS')
    HostPort.parse(match["authority"] if match["port"] else f"{match['authority']}:636")
    return value


def _principal(value: str) -> str:
    name, at, realm = value.rpartition("@")
    if value and (not name or not at or not _ACCOUNT.match(name)):
        raise ValueError('write the account and its realm, such as "appproxy-svc@CORP.EXAMPLE"')
    if value:
        check_realm(realm)
    return value


class ProxySettings(Model):
    """
    C{[proxy]}: the HTTP proxy through which edges and relays are dialled.

    @ivar url: empty to dial them directly.
    @ivar negotiate: whether the account of C{[kerberos]} shows it a ticket; instead of C{username}.
    """

    url: Annotated[str, AfterValidator(_proxy_url)] = ""
    username: str = ""
    password_file: OptionalFilePath = None
    negotiate: StrictBool = False

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if not self.url and (self.username or self.password_file):
            raise ValueError("a user or password of a proxy needs proxy.url")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("proxy.username and proxy.password_file go together")
        ConnectProxy.parse(self.url or "http://unused:1", self.username)
        return self

    def negotiate_problems(self) -> Iterator[tuple[str, str]]:
        """What keeps this proxy from being shown a ticket, with the key where it stands."""
        if not self.url:
            yield "negotiate", "it needs proxy.url"
        elif is_address(ConnectProxy.parse(self.url).address.host):
            yield (
                "url",
                "with proxy.negotiate write the proxy's name: tickets are for names, not for addresses",
            )
        if self.username:
            yield "username", "with proxy.negotiate leave out proxy.username and proxy.password_file"

    def connect_proxy(self) -> ConnectProxy | None:
        """
        The proxy, if there is one, without the authorization that C{negotiate} makes.

        @raise SecretUnavailable: if the password cannot be read.
        """
        if not self.url:
            return None
        if self.password_file is None:
            return ConnectProxy.parse(self.url)
        try:
            return ConnectProxy.parse(self.url, self.username, read_secret(self.password_file))
        except ValueError:
            raise SecretUnavailable(f"{self.password_file} holds characters that no password has") from None


class BackendSettings(Model):
    """
    C{[backend]}.

    @ivar ca_files: besides the system's.
    @ivar idle_connections_per_application: shared and per-user ones together.
    """

    ca_files: tuple[FilePath, ...] = ()
    connect_timeout: PositiveDuration = 10.0
    idle_connections_per_application: Annotated[StrictInt, Field(ge=0, le=10_000)] = 64
    idle_timeout: PositiveDuration = 60.0


class DirectorySettings(Model):
    """
    C{[directory]}: where users' accounts are looked up for Kerberos sign-on.

    @ivar servers: C{ldaps://host}, or C{ldap://host}, which means StartTLS; the next one when one fails.
    @ivar base: the distinguished name below which accounts are found.
    @ivar bind: with the keytab of C{[kerberos]}, or with a user and password.
    @ivar timeout: for each step of a look-up.
    """

    servers: tuple[Annotated[str, AfterValidator(_directory_server)], ...] = ()
    base: str = ""
    bind: Literal["keytab", "simple"] = "keytab"
    user: str = ""
    password_file: OptionalFilePath = None
    ca_file: OptionalFilePath = None
    timeout: PositiveDuration = 3.0

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.bind == "simple" and not (self.user and self.password_file):
            raise ValueError('bind = "simple" needs directory.user and directory.password_file')
        if self.bind == "keytab" and (self.user or self.password_file):
            raise ValueError('a user and a password are for bind = "simple"')
        if bool(self.servers) != bool(self.base):
            raise ValueError("directory.servers and directory.base go together")
        return self


class KerberosSettings(Model):
    """
    C{[kerberos]}: the account in whose place of trust users are signed on.

    @ivar principal: the account's, with its realm.
    @ivar deadline: how long a user waits for a ticket at most.
    """

    keytab_file: OptionalFilePath = None
    principal: Annotated[str, AfterValidator(_principal)] = ""
    deadline: Annotated[PositiveDuration, Field(le=60)] = 5.0


class ConnectorMetrics(Model):
    """C{[metrics]}."""

    listen: ListenText = "127.0.0.1:9645"


class ConnectorLimits(Model):
    """C{[limits]}."""

    streams: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 2_000
    drain_timeout: PositiveDuration = 30.0


def _missing(needed: Mapping[str, object]) -> str:
    return ", ".join(name for name, value in needed.items() if not value)


def _problem(place: tuple[str, ...], text: str) -> InitErrorDetails:
    return {"type": PydanticCustomError("value_error", "{error}", {"error": text}), "loc": place, "input": ""}


class ConnectorSettings(Model):
    """
    All of C{connector.toml}.

    @ivar connect: relay addresses besides those of the join token.
    @ivar allowed_backends: lines that L{AllowedBackend} parses.
    @ivar names_resolve_into: checked at each connection.
    @ivar allowed_spns: services that users may be signed on to, C{HTTP/host} or C{HTTP/*.domain}.
    @ivar never_impersonate: groups and accounts whose users are never signed on.
    """

    identity: FilePath = Path("/var/lib/appproxy/connector/identity")
    connect: tuple[HostPortText, ...] = ()
    allowed_backends: Annotated[tuple[Annotated[str, AfterValidator(_allowed_backend)], ...], NotEmpty]
    names_resolve_into: tuple[NetworkText, ...] = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
    )
    allowed_sso: tuple[SignOnMode, ...] = ("none", "headers")
    allowed_spns: tuple[Annotated[str, AfterValidator(web_service_name)], ...] = ()
    never_impersonate: tuple[Annotated[str, Field(min_length=1)], ...] = ("Domain Admins",)
    proxy: ProxySettings = ProxySettings()
    backend: BackendSettings = BackendSettings()
    directory: DirectorySettings = DirectorySettings()
    kerberos: KerberosSettings = KerberosSettings()
    tls: TlsSettings = TlsSettings()
    metrics: ConnectorMetrics = ConnectorMetrics()
    log: LogSettings = LogSettings()
    limits: ConnectorLimits = ConnectorLimits()

    @model_validator(mode="after")
    def _kerberos_is_complete(self) -> Self:
        problems = [*self._sign_on_problems(), *self._proxy_problems()]
        if problems:
            raise ValidationError.from_exception_data("connector.toml", problems)
        return self

    def _sign_on_problems(self) -> Iterator[InitErrorDetails]:
        needed = {
            "allowed_spns": self.allowed_spns,
            "directory.servers": self.directory.servers,
            **self._account(),
        }
        if "kerberos" in self.allowed_sso and not all(needed.values()):
            yield _problem((), f'"kerberos" in allowed_sso needs {_missing(needed)}')

    def _proxy_problems(self) -> Iterator[InitErrorDetails]:
        if not self.proxy.negotiate:
            return
        for key, text in self.proxy.negotiate_problems():
            yield _problem(("proxy", key), text)
        if not all(self._account().values()):
            yield _problem(("proxy", "negotiate"), f"it needs {_missing(self._account())}")

    def _account(self) -> dict[str, object]:
        own = self.kerberos
        return {"kerberos.keytab_file": own.keytab_file, "kerberos.principal": own.principal}


def load_connector(path: Path, environment: Mapping[str, str]) -> ConnectorSettings | list[Problem]:
    """Read C{connector.toml}: the settings, or everything that is wrong with it."""
    return read_settings(ConnectorSettings, path, environment)
