"""
C{connector.toml}: what a connector may ever do, whatever an edge asks of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, model_validator

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
    later,
)
from appproxy.config.secrets import SecretUnavailable, read_secret
from appproxy.model.application import PLANNED_SIGN_ON_MODES, Model
from appproxy.model.problems import Problem
from appproxy.transport.connect_proxy import ConnectProxy


def _allowed_backend(value: str) -> str:
    AllowedBackend.parse(value)
    return value


def _sign_on_mode(value: object) -> object:
    if value in PLANNED_SIGN_ON_MODES:
        raise ValueError(f'"{value}" is not supported yet')
    return value


SignOnMode = Annotated[Literal["none", "headers"], BeforeValidator(_sign_on_mode)]


def _proxy_url(value: str) -> str:
    if value:
        ConnectProxy.parse(value)
    return value


class ProxySettings(Model):
    """
    C{[proxy]}: the HTTP proxy through which edges and relays are dialled.

    @ivar url: empty to dial them directly.
    """

    url: Annotated[str, AfterValidator(_proxy_url)] = ""
    username: str = ""
    password_file: OptionalFilePath = None

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if not self.url and (self.username or self.password_file):
            raise ValueError("a user or password of a proxy needs proxy.url")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("proxy.username and proxy.password_file go together")
        ConnectProxy.parse(self.url or "http://unused:1", self.username)
        return self

    def connect_proxy(self) -> ConnectProxy | None:
        """
        The proxy, if there is one.

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
    """C{[directory]}: a later stage."""

    servers: Annotated[tuple[str, ...], later([])] = ()
    base: Annotated[str, later("")] = ""
    bind: Annotated[Literal["keytab"], later("keytab")] = "keytab"
    ca_file: Annotated[OptionalFilePath, later("")] = None


class KerberosSettings(Model):
    """C{[kerberos]}: a later stage."""

    keytab_file: Annotated[OptionalFilePath, later("")] = None
    principal: Annotated[str, later("")] = ""
    deadline: Annotated[PositiveDuration, later("5s")] = 5.0


class ConnectorMetrics(Model):
    """C{[metrics]}."""

    listen: ListenText = "127.0.0.1:9645"


class ConnectorLimits(Model):
    """C{[limits]}."""

    streams: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 2_000
    drain_timeout: PositiveDuration = 30.0


class ConnectorSettings(Model):
    """
    All of C{connector.toml}.

    @ivar connect: relay addresses besides those of the join token.
    @ivar allowed_backends: lines that L{AllowedBackend} parses.
    @ivar names_resolve_into: checked at each connection.
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
    allowed_spns: Annotated[tuple[str, ...], later([])] = ()
    never_impersonate: Annotated[tuple[str, ...], later(["Domain Admins"])] = ("Domain Admins",)
    proxy: ProxySettings = ProxySettings()
    backend: BackendSettings = BackendSettings()
    directory: DirectorySettings = DirectorySettings()
    kerberos: KerberosSettings = KerberosSettings()
    tls: TlsSettings = TlsSettings()
    metrics: ConnectorMetrics = ConnectorMetrics()
    log: LogSettings = LogSettings()
    limits: ConnectorLimits = ConnectorLimits()


def load_connector(path: Path, environment: Mapping[str, str]) -> ConnectorSettings | list[Problem]:
    """Read C{connector.toml}: the settings, or everything that is wrong with it."""
    return read_settings(ConnectorSettings, path, environment)
