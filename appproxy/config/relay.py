"""
C{relay.toml}: all else a relay learns from the edges that dial it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictInt

from appproxy.config.common import LogSettings, TlsSettings, read_settings
from appproxy.config.fields import FilePath, ListenText, NotEmpty, PositiveDuration
from appproxy.model.problems import Problem
from appproxy.model.schema import Model


class RelayListen(Model):
    """C{[listen]}."""

    https: Annotated[tuple[ListenText, ...], NotEmpty] = (":443",)


class RelayMetrics(Model):
    """C{[metrics]}."""

    listen: ListenText = "127.0.0.1:9644"


class RelayLimits(Model):
    """C{[limits]}."""

    connections: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 20_000
    drain_timeout: PositiveDuration = 30.0


class RelaySettings(Model):
    """All of C{relay.toml}."""

    identity: FilePath = Path("/var/lib/appproxy/relay/identity")
    listen: RelayListen = RelayListen()
    tls: TlsSettings = TlsSettings()
    metrics: RelayMetrics = RelayMetrics()
    log: LogSettings = LogSettings()
    limits: RelayLimits = RelayLimits()


def load_relay(path: Path, environment: Mapping[str, str]) -> RelaySettings | list[Problem]:
    """Read C{relay.toml}: the settings, or everything that is wrong with it."""
    return read_settings(RelaySettings, path, environment)
