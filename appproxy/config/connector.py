"""
C{connector.toml}: what a connector may ever do, whatever an edge asks of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

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
from appproxy.model.application import PLANNED_SIGN_ON_MODES, Model
from appproxy.model.problems import Problem


def _allowed_backend(value: str) -> str:
    AllowedBackend.parse(value)
    return value


def _sign_on_mode(value: object) -> object:
    if value in PLANNED_SIGN_ON_MODES:
        raise ValueError(f'"{value}" is not supported yet')
    return value


SignOnMode = Annotated[Literal["none", "headers"], BeforeValidator(_sign_on_mode)]


class ProxySettings(Model):
    """C{[proxy]}: a later stage."""

    url: Annotated[str, later("")] = ""
    username: Annotated[str, later("")] = ""
    password_file: Annotated[OptionalFilePath, later("")] = None


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
