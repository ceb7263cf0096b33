"""
C{edge.toml}: every key with its default. The reasons are in C{docs/settings.md}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from appproxy.config.common import LogSettings, TransportName, read_settings
from appproxy.config.fields import (
    FileContext,
    FilePath,
    HostName,
    HostPortText,
    ListenText,
    NetworkText,
    NotEmpty,
    OptionalFilePath,
    PositiveDuration,
    SizeText,
    UnixListenText,
    host_name,
    later,
)
from appproxy.model.problems import Problem
from appproxy.model.schema import Model
from appproxy.model.units import Duration

STATE: Final = Path("/var/lib/appproxy/edge")

SHORTEST_PROBES: Final = 10.0
"""Seconds: a probe takes five at most, and nobody needs to know sooner."""

LONGEST_PROBES: Final = 86400.0

LONGEST_HSTS: Final = 10 * 366 * 86400.0
"""Seconds: what a browser was told cannot be taken back, and no host keeps its ways for longer."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]
ClaimNames = tuple[Text, ...]


class Hosts(Model):
    """C{[hosts]}: empty until the domain fills it."""

    auth: HostName
    portal: HostName
    connect: HostName

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        if len({self.auth, self.portal, self.connect}) != 3:
            raise ValueError("auth, portal and connect are three different hosts")
        return self


class EdgeListen(Model):
    """
    C{[listen]}.

    @ivar public_port: the https port that browsers use; 0 = that of the first https address.
    @ivar front_end: what takes HTTP/1.1 requests for applications.
    @ivar proxy_protocol_from: balancers, which have to say whose connection it is.
    """

    https: Annotated[tuple[ListenText, ...], NotEmpty] = (":443",)
    http: tuple[ListenText, ...] = (":80",)
    public_port: Annotated[StrictInt, Field(ge=0, le=65535)] = 0
    front_end: Literal["channel", "site"] = "channel"
    proxy_protocol_from: tuple[NetworkText, ...] = ()

    @property
    def port(self) -> int:
        """The https port that browsers use."""
        kind, _, port = self.https[0].rpartition(":")
        if self.public_port or kind in ("systemd", "unix") or not port.isdigit():
            return self.public_port or 443
        return int(port) or 443


class EdgeTls(Model):
    """
    C{[tls]}.

    @ivar hsts: for how many seconds browsers are told to come over https only; 0 = they are not told.
    """

    certificates: Annotated[tuple[FilePath, ...], NotEmpty] = (Path("/etc/appproxy/certificates"),)
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    transport: TransportName = "fast"
    hsts: Annotated[Duration, Field(le=LONGEST_HSTS)] = 365 * 86400.0


class Claims(Model):
    """C{[sign_in.claims]}: which claims of the provider fill a principal; the first that is present wins."""

    subject: Annotated[ClaimNames, NotEmpty] = ("sub",)
    user_principal_name: ClaimNames = ("upn", "preferred_username", "email")
    display_name: ClaimNames = ("name",)
    mail: ClaimNames = ("email",)
    groups: ClaimNames = ("groups",)
    on_premises_user_principal_name: ClaimNames = ("onprem_upn",)
    on_premises_sam_account_name: ClaimNames = ("onprem_sam_account_name",)
    on_premises_sid: ClaimNames = ("onprem_sid",)


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    host = parts.hostname or ""
    if parts.query or parts.fragment or parts.username is not None or not host:
        raise ValueError(
            'write the issuer as the provider does, such as "https://login.example.com/realms/main"'
        )
    is_local = host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise ValueError("the issuer starts with https://")
    return value


def _has_openid(value: tuple[str, ...]) -> tuple[str, ...]:
    if "openid" not in value:
        raise ValueError('"openid" is always among the scopes')
    return value


class SignIn(Model):
    """
    C{[sign_in]}: the provider.

    @ivar issuer: compared byte by byte with the provider's own (OpenID Connect Core 1.0, section 3.1.3.7).
    @ivar ca_file: L{None} = the system's.
    """

    issuer: Annotated[str, AfterValidator(_issuer)]
    client_id: Text
    client_secret_file: FilePath
    scopes: Annotated[tuple[Text, ...], AfterValidator(_has_openid)] = ("openid", "profile", "email")
    ca_file: OptionalFilePath = None
    leeway: Annotated[PositiveDuration, Field(le=600)] = 60.0
    claims: Claims = Claims()
    group_names: dict[Text, Text] = {}


class SessionSettings(Model):
    """C{[session]}."""

    maximum_lifetime: PositiveDuration = 14 * 3600.0
    idle_lifetime: PositiveDuration = 3600.0
    revocation_grace: PositiveDuration = 60.0
    refresh_interval: Annotated[PositiveDuration, later("10m")] = 600.0

    @model_validator(mode="after")
    def _idle_is_shorter(self) -> Self:
        if self.idle_lifetime > self.maximum_lifetime:
            raise ValueError("idle_lifetime is longer than maximum_lifetime")
        return self


class PortalSettings(Model):
    """
    C{[portal]}.

    @ivar support: shown to whoever is refused; may be empty.
    """

    title: Text = "Applications"
    support: Annotated[str, StringConstraints(max_length=400)] = ""
    logo_file: OptionalFilePath = None


class EdgeRelay(Model):
    """C{[relay]}: inside the edge, or dialled."""

    mode: Literal["inside", "remote"] = "inside"
    dial: tuple[HostPortText, ...] = ()

    @model_validator(mode="after")
    def _dials_when_remote(self) -> Self:
        if self.mode == "remote" and not self.dial:
            raise ValueError('mode "remote" needs the relays in dial')
        if self.mode == "inside" and self.dial:
            raise ValueError('dial is for mode "remote"')
        return self


def _store_url(value: object, info: ValidationInfo) -> str:
    text = value if isinstance(value, str) else ""
    kind, _, rest = text.partition(":")
    if kind == "etcd":
        raise ValueError('"etcd:" is not supported yet; write "sqlite:" and a path')
    if kind != "sqlite" or not rest or "\0" in rest:
        raise ValueError('write "sqlite:" and a path')
    folder = info.context.folder if isinstance(info.context, FileContext) else Path()
    return f"sqlite:{folder / rest}"


class StoreSettings(Model):
    """C{[store]}."""

    url: Annotated[str, BeforeValidator(_store_url)] = f"sqlite:{STATE}/store.sqlite3"
    key_file: FilePath = STATE / "store.key"

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix("sqlite:"))


class PkiSettings(Model):
    """C{[pki]}."""

    infrastructure_key_file: FilePath = STATE / "infrastructure.key"


class AdminSettings(Model):
    """C{[admin]}."""

    listen: UnixListenText = "unix:/run/appproxy/edge/admin.sock"
    group: Text = "appproxy-admin"


class EdgeMetrics(Model):
    """C{[metrics]}."""

    listen: ListenText = "127.0.0.1:9643"


def _off_or_seldom(seconds: float) -> float:
    if seconds and not SHORTEST_PROBES <= seconds <= LONGEST_PROBES:
        raise ValueError('write "0s" for none, or from "10s" to "1d"')
    return seconds


class ProbeSettings(Model):
    """
    C{[probes]}.

    @ivar interval: seconds from one probe of an application to the next; 0 = none.
    """

    interval: Annotated[Duration, AfterValidator(_off_or_seldom)] = 60.0


class EdgeLimits(Model):
    """C{[limits]}."""

    connections: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 20_000
    connections_per_address: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 0
    head_size: Annotated[SizeText, Field(ge=1 << 10, le=1 << 20)] = 64 << 10
    header_count: Annotated[StrictInt, Field(ge=10, le=2_000)] = 200
    head_timeout: PositiveDuration = 10.0
    idle_timeout: PositiveDuration = 75.0
    pending_sign_ins_per_browser: Annotated[StrictInt, Field(ge=1, le=64)] = 8
    drain_timeout: PositiveDuration = 30.0


class PluginSettings(Model):
    """C{[plugins]}: access rules. What lies in the directories is run."""

    directories: tuple[FilePath, ...] = (Path("/etc/appproxy/plugins"),)
    enabled: tuple[str, ...] = ()


class EdgeSettings(Model):
    """
    All of C{edge.toml}.

    @ivar sign_in: L{None} only where every application is passthrough.
    """

    domain: HostName
    hosts: Hosts
    listen: EdgeListen = EdgeListen()
    tls: EdgeTls = EdgeTls()
    sign_in: SignIn | None = None
    session: SessionSettings = SessionSettings()
    portal: PortalSettings = PortalSettings()
    relay: EdgeRelay = EdgeRelay()
    store: StoreSettings = StoreSettings()
    pki: PkiSettings = PkiSettings()
    admin: AdminSettings = AdminSettings()
    metrics: EdgeMetrics = EdgeMetrics()
    probes: ProbeSettings = ProbeSettings()
    log: LogSettings = LogSettings()
    limits: EdgeLimits = EdgeLimits()
    plugins: PluginSettings = PluginSettings()

    @model_validator(mode="before")
    @classmethod
    def _hosts_of_domain(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("hosts", {}), dict):
            return data
        domain = _host_name_or_placeholder(data.get("domain"))
        named = {name: f"{name}.{domain}" for name in Hosts.model_fields}
        return {**data, "hosts": {**named, **data.get("hosts", {})}}


def _host_name_or_placeholder(domain: object) -> str:
    """A wrong or missing domain is one problem; three wrong hosts would hide it."""
    try:
        return host_name(domain) if isinstance(domain, str) else "invalid"
    except ValueError:
        return "invalid"


def load_edge(path: Path, environment: Mapping[str, str]) -> EdgeSettings | list[Problem]:
    """Read C{edge.toml}: the settings, or everything that is wrong with it."""
    return read_settings(EdgeSettings, path, environment)
