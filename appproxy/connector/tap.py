"""
C{twistd appproxy-connector}: the connector's options, and the connector from its
configuration.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from twisted.application.service import IService

from appproxy.config.connector import ConnectorSettings, load_connector
from appproxy.config.daemon import DaemonOptions
from appproxy.model.problems import Problem


class Options(DaemonOptions):
    """Options of C{twistd appproxy-connector}."""

    daemon: ClassVar[str] = "connector"
    settings: ConnectorSettings

    def load(self, path: Path) -> ConnectorSettings | list[Problem]:
        """Read C{connector.toml}."""
        return load_connector(path, os.environ)

    def state_directory(self) -> Path:
        """The folder of the identity."""
        return self.settings.identity.parent


def makeService(options: Options) -> IService:
    """The connector as a service."""
    from twisted.internet import reactor

    from appproxy.connector.service import ConnectorService

    return ConnectorService(reactor, options)
