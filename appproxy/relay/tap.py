"""
C{twistd appproxy-relay}: the relay's options, and the relay from its
configuration.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from twisted.application.service import IService

from appproxy.config.daemon import DaemonOptions
from appproxy.config.relay import RelaySettings, load_relay
from appproxy.model.problems import Problem


class Options(DaemonOptions):
    """Options of C{twistd appproxy-relay}."""

    daemon: ClassVar[str] = "relay"
    settings: RelaySettings

    def load(self, path: Path) -> RelaySettings | list[Problem]:
        """Read C{relay.toml}."""
        return load_relay(path, os.environ)

    def state_directory(self) -> Path:
        """The folder of the identity."""
        return self.settings.identity.parent


def makeService(options: Options) -> IService:
    """The relay as a service."""
    from twisted.internet import reactor

    from appproxy.relay.service import RelayService

    return RelayService(reactor, options)
