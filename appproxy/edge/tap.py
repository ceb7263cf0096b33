"""
C{twistd appproxy-edge}: the edge's options, and the edge from its configuration.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from twisted.application.service import IService

from appproxy.config.daemon import DaemonOptions
from appproxy.config.edge import EdgeSettings, load_edge
from appproxy.model.problems import Problem


class Options(DaemonOptions):
    """Options of C{twistd appproxy-edge}."""

    daemon: ClassVar[str] = "edge"
    settings: EdgeSettings

    def load(self, path: Path) -> EdgeSettings | list[Problem]:
        """Read C{edge.toml}."""
        return load_edge(path, os.environ)

    def state_directory(self) -> Path:
        """The folder of the store."""
        return self.settings.store.path.parent


def makeService(options: Options) -> IService:
    """The edge as a service; everything else happens once the reactor runs."""
    from twisted.internet import reactor

    from appproxy.edge.service import EdgeService

    return EdgeService(reactor, options)
